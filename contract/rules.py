"""What the schema cannot say about a manifest: references, cycles, orders, reserved names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from contract import graph, names
from contract.problems import Problem, nearest
from contract.yaml_lines import Document, Path, dotted

if TYPE_CHECKING:
    from contract.manifest import Manifest

Found = tuple[Path, str, str, str]  # path, code, message, hint
SCRIPT = re.compile(r"^(?:\S*/)?python[0-9.]*(?:\s+-[uOBIsSE]+)*\s+([\w./-]+\.py)\b")
PYTHON_VERSION = re.compile(r"3(\.\d+){1,2}")


def check_rules(document: Document, broken: Iterable[str]) -> list[Problem]:
    """Problems beyond the schema; parts that the schema has refused (`broken`) are left alone."""
    refused = set(broken)
    problems = []
    for path, code, message, hint in _rules(document.data):
        name = dotted(path)
        if any(name == bad or name.startswith((f"{bad}.", f"{bad}[")) for bad in refused if bad):
            continue
        line, column = document.mark(path)
        problems.append(
            Problem(code=code, path=name, message=message, line=line, column=column, hint=hint)
        )
    return problems


def check_files(manifest: Manifest, present: Iterable[str]) -> list[Problem]:
    """Files that the manifest names and the folder does not hold. Only sure faults."""
    files = set(present)
    problems = []

    def missing(path: str, file: str) -> None:
        problems.append(
            Problem(
                code="missing_file",
                path=path,
                message=f"`{file}` is not in the folder.",
                hint=nearest(file, files) if len(files) < 2000 else "",
            )
        )

    if manifest.requirements and _clean(manifest.requirements) not in files:
        missing("requirements", manifest.requirements)
    for step in manifest.steps:
        script = SCRIPT.match(step.run.strip())
        if script and _clean(script[1]) not in files:
            missing(f"steps.{step.name}.run", script[1])
    return problems


def _rules(data: dict[str, Any]) -> Iterator[Found]:
    steps = data.get("steps") if isinstance(data.get("steps"), dict) else {}
    yield from _python(data.get("python"))
    yield from _steps(steps or {})
    yield from _environment(("env",), data.get("env"), data)
    for i, name in enumerate(_list(data.get("secrets"))):
        if isinstance(name, str) and names.reserved_variable(name):
            yield ("secrets", i), "reserved_name", f"`{name}` is set by the platform.", ""
    serve = data.get("serve")
    if isinstance(serve, dict):
        yield from _serve(serve, steps or {})
        yield from _environment(("serve", "env"), serve.get("env"), data)
    for key in ("verify", "deploy"):
        if data.get(key) and not serve:
            yield (key,), "needs_serve", f"`{key}` needs `serve`: there is nothing to {key}.", ""
    gate = data.get("gate")
    if isinstance(gate, dict):
        yield from _gate(gate)
    yield from _verify(_list(data.get("verify")))
    if isinstance(data.get("deploy"), dict):
        yield from _deploy(data["deploy"])


def _python(value: object) -> Iterator[Found]:
    if not isinstance(value, str) or not value.strip():
        return
    text = value.strip()
    if text[0].isdigit():
        try:
            Version(text)
            fine = bool(PYTHON_VERSION.fullmatch(text))
        except InvalidVersion:
            fine = False
    else:
        try:
            SpecifierSet(text)
            fine = True
        except InvalidSpecifier:
            fine = False
    if not fine:
        yield (
            ("python",),
            "bad_version",
            f"`{text}` is not a Python version or specifier.",
            ('Write "3.11" (with quotes) or ">=3.11".'),
        )


def _steps(steps: dict[str, Any]) -> Iterator[Found]:
    needs: dict[str, list[str]] = {}
    for name, step in steps.items():
        if name in names.STEP_NAMES_RESERVED:
            yield ("steps", name), "reserved_name", f"`{name}` is a step of the platform.", ""
        if not isinstance(step, dict):
            continue
        yield from _environment(("steps", name, "env"), step.get("env"), {})
        needs[name] = [n for n in _list(step.get("needs")) if isinstance(n, str)]
        for i, need in enumerate(needs[name]):
            if need not in steps:
                yield (
                    ("steps", name, "needs", i),
                    "unknown_step",
                    f"There is no step `{need}`.",
                    nearest(need, set(steps) - {name}),
                )
    loop = graph.cycle(needs)
    if loop:
        words = " -> ".join(loop)
        yield ("steps", loop[0], "needs"), "cycle", f"Steps wait for each other: {words}.", ""
    variables: dict[str, str] = {}
    for name in steps:
        other = variables.setdefault(names.variable(name), name)
        if other != name:
            yield ("steps", name), "same_variable", f"`{name}` and `{other}` share a variable.", ""


def _environment(path: Path, env: object, data: dict[str, Any]) -> Iterator[Found]:
    if not isinstance(env, dict):
        return
    secrets = set(map(str, _list(data.get("secrets"))))
    for name in env:
        if names.reserved_variable(name):
            yield (*path, name), "reserved_name", f"`{name}` is set by the platform.", ""
        elif name in secrets:
            yield (*path, name), "named_twice", f"`{name}` is a secret as well.", ""


def _serve(serve: dict[str, Any], steps: dict[str, Any]) -> Iterator[Found]:
    model = serve.get("model")
    if isinstance(model, str) and model not in steps:
        yield (
            ("serve", "model"),
            "unknown_step",
            f"There is no step `{model}`.",
            nearest(model, steps),
        )
    scale = serve.get("scale")
    if isinstance(scale, dict):
        least, most = scale.get("min", 0), scale.get("max")
        if isinstance(least, int) and isinstance(most, int) and least > most:
            yield (
                ("serve", "scale", "min"),
                "min_above_max",
                f"min {least} is above max {most}.",
                "",
            )
        metric = scale.get("metric", "concurrency")
        if metric != "concurrency" and "target" not in scale:
            yield (
                ("serve", "scale", "metric"),
                "missing_key",
                f"`metric: {metric}` needs a `target`.",
                "",
            )
        if metric == "concurrency" and "target" in scale:
            yield ("serve", "scale", "target"), "unused_key", "Write `concurrency` instead.", ""
        if metric in ("cpu", "memory") and least == 0:
            yield (
                ("serve", "scale", "metric"),
                "no_scale_to_zero",
                f"Scaling by {metric} cannot go to zero; set `min: 1` or more.",
                "",
            )


def _gate(gate: dict[str, Any]) -> Iterator[Found]:
    least, most = gate.get("min"), gate.get("max")
    if least is None and most is None and not gate.get("beats_champion"):
        yield (
            ("gate",),
            "no_rule",
            "The gate has no rule.",
            "Give `min`, `max` or `beats_champion`.",
        )
    if isinstance(least, int | float) and isinstance(most, int | float) and least > most:
        yield ("gate", "min"), "min_above_max", f"min {least} is above max {most}.", ""


def _verify(checks: list[Any]) -> Iterator[Found]:
    for i, check in enumerate(checks):
        if not isinstance(check, dict):
            continue
        request, expect = check.get("request"), check.get("expect")
        if isinstance(request, dict) and "json" in request and "text" in request:
            yield ("verify", i, "request", "text"), "two_bodies", "Give `json` or `text`.", ""
        if not isinstance(expect, dict):
            continue
        if "json" in expect and "json_exact" in expect:
            yield (
                ("verify", i, "expect", "json_exact"),
                "two_bodies",
                ("Give `json` or `json_exact`."),
                "",
            )
        schema = expect.get("schema")
        if isinstance(schema, dict):
            try:
                Draft202012Validator.check_schema(schema)
            except SchemaError as error:
                yield (
                    ("verify", i, "expect", "schema"),
                    "bad_schema",
                    (f"It is not a JSON Schema: {error.message}."),
                    "",
                )


def _deploy(deploy: dict[str, Any]) -> Iterator[Found]:
    steps = deploy.get("steps")
    strategy = deploy.get("strategy", "canary" if steps else "instant")
    if steps and strategy != "canary":
        yield ("deploy", "steps"), "unused_key", "`steps` belongs to `strategy: canary`.", ""
    if isinstance(steps, list) and all(isinstance(step, int) for step in steps) and steps:
        if steps != sorted(set(steps)):
            yield ("deploy", "steps"), "not_rising", "The percents must rise.", ""
        elif steps[-1] != 100:
            yield ("deploy", "steps"), "not_whole", "The last percent must be 100.", ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _clean(path: str) -> str:
    return path.removeprefix("./")
