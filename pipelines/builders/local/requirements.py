"""What a submission requires: the files that say so, and whether they are a lock already.

Pure but for the `read` function that is given in.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipelines.builders.faults import SubmissionFault

Kind = Literal["none", "requirements", "lock", "pyproject", "uv-lock"]
Read = Callable[[str], bytes | None]

INCLUDE = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)[\s=]+(\S+)")
LOCAL = re.compile(
    r"^\s*(?:(?:-e|--editable)\b|\.{0,2}/|\.\s*$|file:|[\w.\-\[\],]+\s*@\s*(?:git\+)?file:)"
)
HASH = re.compile(r"--hash[= ]")


@dataclass(frozen=True)
class Requirements:
    """`files` are all that resolving reads, by path in the snapshot; `main` is the one to give
    to the resolver."""

    kind: Kind
    main: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Hex SHA-256 of everything that decides the lock, besides interpreter and time."""
        digest = hashlib.sha256(self.kind.encode())
        for path in sorted(self.files):
            for part in (path.encode(), self.files[path]):
                digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()

    @property
    def text(self) -> str:
        return self.files[self.main].decode("utf-8", "replace")


def read_requirements(path: str | None, read: Read) -> Requirements:
    """Everything that `requirements: <path>` in hekaton.yaml means.

    Raises:
        SubmissionFault: a file is missing, not UTF-8, or asks for what cannot be locked.
    """
    if path is None:
        return Requirements("none")
    name = posixpath.basename(path)
    if name == "uv.lock":
        path = posixpath.join(posixpath.dirname(path), "pyproject.toml")
    if name in ("pyproject.toml", "uv.lock"):
        return _pyproject(path, read)
    files: dict[str, bytes] = {}
    _collect(path, read, files, included_by="hekaton.yaml")
    requirements = Requirements("requirements", path, files)
    if not any(_statements(text) for text in files.values()):
        return Requirements("none")
    if len(files) == 1 and _is_lock(files[path]):
        return Requirements("lock", path, files)
    return requirements


def _pyproject(path: str, read: Read) -> Requirements:
    text = _must_read(path, read, "hekaton.yaml")
    try:
        project = tomllib.loads(text.decode()).get("project", {})
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SubmissionFault("BadRequirements", f"{path} cannot be read: {error}") from None
    if "dependencies" in project.get("dynamic", []):
        raise SubmissionFault(
            "DynamicDependencies",
            f"{path} declares its dependencies as dynamic, which only its build backend can tell. "
            "List them under [project] dependencies, or use a requirements.txt.",
        )
    lock_path = posixpath.join(posixpath.dirname(path), "uv.lock")
    lock = read(lock_path)
    if lock is not None:
        return Requirements("uv-lock", path, {path: text, lock_path: lock})
    if not project.get("dependencies"):
        return Requirements("none")
    return Requirements("pyproject", path, {path: text})


def _collect(path: str, read: Read, files: dict[str, bytes], included_by: str) -> None:
    if path in files:
        return
    files[path] = _must_read(path, read, included_by)
    for number, line in enumerate(_lines(files[path]), 1):
        where = f"{path}, line {number}"
        if LOCAL.match(line):
            raise SubmissionFault(
                "LocalRequirement",
                f"{where}: `{line.strip()}` is a local folder. Your snapshot's own modules can be "
                "imported without installing; remove the line, or publish the package and name it.",
            )
        if included := INCLUDE.match(line):
            target = included.group(1).strip("\"'")
            if "://" in target:
                raise SubmissionFault(
                    "RemoteRequirements",
                    f"{where}: a requirements file from the network is not part of the snapshot. "
                    "Copy it into the folder.",
                )
            joined = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
            _collect(joined, read, files, included_by=where)


def _must_read(path: str, read: Read, included_by: str) -> bytes:
    text = read(posixpath.normpath(path)) if not path.startswith("..") else None
    if text is None:
        raise SubmissionFault(
            "RequirementsMissing",
            f"{included_by} names {path}, which is not in the submitted folder. Is it ignored by "
            ".hekatonignore or .gitignore?",
        )
    return text


def _lines(text: bytes) -> list[str]:
    return text.decode("utf-8-sig", "replace").splitlines()


def _statements(text: bytes) -> list[str]:
    """Requirement lines, continuations joined, without comments and options."""
    joined = re.sub(r"\\\r?\n", " ", text.decode("utf-8-sig", "replace"))
    stripped = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return [line for line in stripped if line and not line.startswith("-")]


def _is_lock(text: bytes) -> bool:
    statements = _statements(text)
    return bool(statements) and all(HASH.search(line) for line in statements)
