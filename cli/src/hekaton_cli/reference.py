"""The reference pages, made from the command tree and the schema.

python -m hekaton_cli.reference docs    writes docs/cli.md and docs/contract.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contract.validation import schema
from hekaton_cli.exits import MEANING


def contract_reference() -> str:
    """Every key of hekaton.yaml, from the JSON Schema."""
    root = schema()
    parts = [
        "# hekaton.yaml",
        "",
        "Made from `contract/schema.json` by `python -m hekaton_cli.reference docs`.",
        "",
        f"{root['description']} Unknown keys are refused; all problems are reported at once, with "
        "line numbers (`hekaton validate`). YAML anchors work; merge keys (`<<`) do not.",
        "",
        "For completion in an editor, point its YAML plugin at the schema:",
        "`# yaml-language-server: $schema=contract/schema.json`",
        "",
        *_section("", root, root),
        *ENVIRONMENT,
    ]
    return "\n".join(parts) + "\n"


ENVIRONMENT = [
    "## What a step and a server see",
    "",
    "| variable | what |",
    "|---|---|",
    "| `HEKATON_DATA_<SLOT>` | the folder of a data slot, read-only |",
    "| `HEKATON_INPUT_<STEP>` | the outputs of a step in `needs`, read-only |",
    "| `HEKATON_OUTPUT_DIR` | where a step leaves what is kept |",
    "| `HEKATON_PARAM_<NAME>`, `HEKATON_PARAMS` | one parameter; a JSON file with all |",
    '| `HEKATON_METRICS` | a file for JSON lines: `{"name", "value", "step"}` |',
    "| `HEKATON_RUN_ID` | the run's uid |",
    "| `HEKATON_MODEL_DIR` | a server's: the outputs of `serve.model` |",
    "| `PORT` | a server's: where it must listen |",
    "",
    "Names are upper-cased and every other character becomes `_`: slot `my-set` is "
    "`HEKATON_DATA_MY_SET`. Names that begin with `HEKATON_` or `AIP_`, and `PORT`, `PATH`, "
    "`HOME`, `TMPDIR`, are the platform's. The working folder is the submitted folder, read-only.",
]


def _section(path: str, node: dict[str, Any], root: dict[str, Any]) -> Iterator[str]:
    """A table of a mapping's keys, then one section for each that is a mapping itself."""
    required = set(node.get("required", ()))
    yield f"## {path}" if path else "## Keys"
    yield ""
    if path and node.get("description"):
        yield from (node["description"], "")
    yield "| key | type | default | |"
    yield "|---|---|---|---|"
    deeper: list[tuple[str, dict[str, Any]]] = []
    for key, value in node["properties"].items():
        shown = _resolved(value, root)
        must = " **required.**" if key in required else ""
        words = f"{_limits(shown)}{must} {shown.get('description', '')}{_example(shown)}".strip()
        default = json.dumps(shown["default"]) if "default" in shown else ""
        yield f"| `{key}` | {_type(shown)} | {default} | {_cell(words)} |"
        here = f"{path}.{key}" if path else key
        inner = shown.get("additionalProperties")
        if shown.get("properties"):
            deeper.append((here, shown))
        elif isinstance(inner, dict) and _resolved(inner, root).get("properties"):
            deeper.append((f"{here}.<name>", _resolved(inner, root)))
        elif isinstance(shown.get("items"), dict) and shown["items"].get("properties"):
            deeper.append((f"{here}[]", shown["items"]))
    yield ""
    for name, inner in deeper:
        yield from _section(name, inner, root)


def _resolved(node: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """With what `$ref` names; the node's own words win."""
    if "$ref" not in node:
        return node
    target: dict[str, Any] = root["$defs"][node["$ref"].removeprefix("#/$defs/")]
    return {**target, **{key: value for key, value in node.items() if key != "$ref"}}


def _type(node: dict[str, Any]) -> str:
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return ", ".join(f"`{option}`" for option in node["enum"])
    units = {"duration-units": "duration", "memory-units": "memory", "cpu-units": "CPUs"}
    if node.get("format") in units:
        return units[node["format"]]
    kind = node.get("type", "any JSON")
    words = {"object": "mapping", "array": "list", "string": "text", "integer": "whole number"}
    kinds = [kind] if isinstance(kind, str) else kind
    return " or ".join(words.get(name, name) for name in kinds)


def _limits(node: dict[str, Any]) -> str:
    least, most = node.get("minimum"), node.get("maximum")
    if least is None and most is None:
        return ""
    return f"At least {least}." if most is None else f"{least} to {most}."


def _example(node: dict[str, Any]) -> str:
    shown = [f"`{json.dumps(example)}`" for example in node.get("examples", ())]
    return f" For example {', '.join(shown)}." if shown else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def cli_reference() -> str:
    """Every command and option, from the command tree."""
    import typer.main

    from hekaton_cli.main import app

    root = typer.main.get_command(app)
    context = root.make_context("hekaton", [], resilient_parsing=True)
    parts = [
        "# hekaton",
        "",
        "Made from the commands by `python -m hekaton_cli.reference docs`.",
        "",
        "    pip install ./cli          # from a checkout; needs no server",
        "    hekaton login http://127.0.0.1:8000",
        "    hekaton --install-completion",
        "",
        "A run is named `42` or `#42` (in the project of the current folder), `team/project#42`, or "
        "by uid. An endpoint is named by its slug, `team/project/slug`, or by uid. With `--json`, "
        "stdout holds JSON only; what is said meanwhile goes to stderr. `NO_COLOR` is honoured. ",
        "",
        "`HEKATON_SERVER`, `HEKATON_TOKEN`, `HEKATON_TEAM`, `HEKATON_CONTEXT`, `HEKATON_KEY` (of an "
        "endpoint), `HEKATON_CONFIG` (instead of `~/.config/hekaton/config.toml`) and "
        "`HEKATON_INSECURE=1` (a token over plain http beyond this machine) are read.",
        "",
        "## Exit codes",
        "",
        "| code | |",
        "|---|---|",
        *(f"| {int(code)} | {words} |" for code, words in MEANING.items()),
        "",
        *_commands(root, context, "hekaton"),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _commands(command: Any, context: Any, name: str) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    yield from ((command.help or "").strip(), "")
    rows = [_parameter(parameter) for parameter in command.get_params(context)]
    if any(rows):
        yield "| | default | |"
        yield "|---|---|---|"
        yield from filter(None, rows)
        yield ""
    for inner, found in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(found, context, f"{name} {inner}")


def _parameter(parameter: Any) -> str:
    if parameter.name in ("help", "install_completion", "show_completion"):
        return ""
    argument = parameter.param_type_name == "argument"
    name = (parameter.metavar or parameter.name.upper()) if argument else ", ".join(parameter.opts)
    words = (getattr(parameter, "help", "") or "").strip()
    given = parameter.default
    shown = given if isinstance(given, str | int | float) and not isinstance(given, bool) else ""
    default = f"`{shown}`" if shown not in ("", None) else ""
    must = "**required**" if parameter.required else default
    return f"| `{name}` | {must} | {_cell(words)} |"


def main() -> None:
    folder = Path(sys.argv[1])
    folder.joinpath("cli.md").write_text(cli_reference(), "utf-8")
    folder.joinpath("contract.md").write_text(contract_reference(), "utf-8")


if __name__ == "__main__":
    main()
