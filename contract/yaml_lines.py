"""YAML with the line and column of every value, and duplicate keys refused.

The YAML 1.2 core schema is kept for scalars where it differs from PyYAML's: `on`, `off`, `yes`
and `no` are strings, and times such as 12:30 are strings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from contract.problems import ManifestError, Problem

MAX_BYTES = 256 * 1024
MAX_NODES = 20_000
Path = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    pass


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag == "tag:yaml.org,2002:null"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _regexp, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_regexp})$"), list(_first)
    )


@dataclass
class Document:
    """`data` as plain objects; `marks` maps a path to (line, column) of its key or item."""

    data: Any
    marks: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def mark(self, path: Path) -> tuple[int, int]:
        """The place of `path`, or of the nearest parent that has one."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, (1, 1))


def load(text: str) -> Document:
    """Read one YAML document.

    Raises:
        ManifestError: it is too large, not YAML, has duplicate keys or more than one document.
    """
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise ManifestError(
            [Problem(code="too_large", path="", message=f"The file is over {MAX_BYTES} bytes.")]
        )
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ManifestError(
            [
                Problem(
                    code="yaml_syntax",
                    path="",
                    message=f"This is not valid YAML: {error.problem or error.context}.",
                    line=mark.line + 1 if mark else 0,
                    column=mark.column + 1 if mark else 0,
                )
            ]
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ManifestError(
            [Problem(code="yaml_syntax", path="", message=f"This is not valid YAML: {error}")]
        ) from error
    builder = _Builder()
    data = builder.build(node, ()) if node is not None else None
    if builder.problems:
        raise ManifestError(builder.problems)
    return Document(data, builder.marks)


class _Builder:
    def __init__(self) -> None:
        self.marks: dict[Path, tuple[int, int]] = {}
        self.problems: list[Problem] = []
        self.count = 0
        self.constructor = _Loader("")

    def build(self, node: yaml.Node, path: Path) -> Any:
        self.count += 1
        if self.count > MAX_NODES or len(path) > 40:
            raise ManifestError(
                [
                    Problem(
                        code="too_large",
                        path=dotted(path),
                        message="The document is too deep or refers to itself too often.",
                        line=node.start_mark.line + 1,
                    )
                ]
            )
        self.marks.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
        try:
            return self.constructor.construct_object(node)  # type: ignore[no-untyped-call]
        except (yaml.YAMLError, ValueError) as error:
            self._problem("yaml_value", path, node, f"This value cannot be read: {error}.")
            return None

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem("yaml_key", path, key_node, "A key must be plain text.")
                continue
            key = str(key_node.value)
            if key == "<<":
                self._problem("yaml_merge", path, key_node, "Merge keys (`<<`) are not supported.")
                continue
            here = (*path, key)
            if key in found:
                line = self.marks[here][0]
                self._problem(
                    "duplicate_key", here, key_node, f"`{key}` is there already (line {line})."
                )
                continue
            self.marks[here] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            found[key] = self.build(value_node, here)
        return found

    def _problem(self, code: str, path: Path, node: yaml.Node, message: str) -> None:
        self.problems.append(
            Problem(
                code=code,
                path=dotted(path),
                message=message,
                line=node.start_mark.line + 1,
                column=node.start_mark.column + 1,
            )
        )


def dotted(path: Path) -> str:
    """("verify", 0, "request") as `verify[0].request`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text
