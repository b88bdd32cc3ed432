"""A document against schema.json, with problems in plain words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from contract import units
from contract.problems import Problem, nearest
from contract.yaml_lines import Document, Path, dotted

formats = FormatChecker(formats=())


@formats.checks("duration-units", raises=ValueError)
def _duration(value: object) -> bool:
    if isinstance(value, str | int | float):
        units.seconds(value)
    return True


@formats.checks("memory-units", raises=ValueError)
def _memory(value: object) -> bool:
    if isinstance(value, str | int):
        units.memory_bytes(value)
    return True


@formats.checks("cpu-units", raises=ValueError)
def _cpu(value: object) -> bool:
    if isinstance(value, str | int | float):
        units.millicores(value)
    return True


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """The JSON Schema of hekaton.yaml."""
    found: dict[str, Any] = json.loads(files("contract").joinpath("schema.json").read_text())
    return found


@lru_cache(maxsize=1)
def _validator() -> Draft202012Validator:
    return Draft202012Validator(schema(), format_checker=formats)


def check_schema(document: Document) -> list[Problem]:
    """Every way in which the document breaks the schema."""
    problems = []
    for error in _validator().iter_errors(document.data):
        problems += list(_explain(error, document))
    return problems


def _explain(error: Any, document: Document) -> Iterator[Problem]:
    path: Path = tuple(error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        for key in error.instance:
            if key not in known:
                yield _problem(
                    document,
                    (*path, key),
                    "unknown_key",
                    f"`{key}` is not known here.",
                    nearest(key, known),
                )
        return
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        for key in missing:
            if f"'{key}'" in error.message:
                yield _problem(document, path, "missing_key", f"`{key}` is missing.", field=key)
        return
    if error.validator == "propertyNames" or "propertyNames" in error.absolute_schema_path:
        name = str(error.instance)
        yield _problem(
            document,
            (*path, name),
            "bad_name",
            f"`{name}` is not a valid name here.",
            _pattern_hint(error),
        )
        return
    yield _problem(document, path, *_words(error))


def _words(error: Any) -> tuple[str, str, str]:
    value = json.dumps(error.instance, default=str)
    value = value if len(value) <= 80 else value[:77] + "..."
    kind = error.validator
    if kind == "type":
        wanted = error.validator_value
        names = [wanted] if isinstance(wanted, str) else wanted
        return "wrong_type", f"{value} is not {_either(names)}.", ""
    if kind == "enum":
        options = [str(option) for option in error.validator_value]
        word = str(error.instance)
        hint = nearest(word, options)
        return "not_an_option", f"{value} is not one of {', '.join(options)}.", hint
    if kind == "const":
        return "wrong_value", f"It must be `{error.validator_value}`.", ""
    if kind == "format":
        words = str(error.cause) if error.cause else error.message
        return "bad_unit", f"{value}: {words}.", ""
    if kind == "pattern":
        return "bad_format", f"{value} does not have the right form.", _pattern_hint(error)
    if kind in ("minimum", "exclusiveMinimum"):
        return "too_small", f"{value} is below {error.validator_value}.", ""
    if kind in ("maximum", "exclusiveMaximum"):
        return "too_large", f"{value} is above {error.validator_value}.", ""
    if kind in ("minLength", "minItems", "minProperties"):
        return "empty", "It must not be empty.", ""
    if kind == "uniqueItems":
        return "repeated", "An item is there twice.", ""
    return "invalid", error.message[:300], ""


def _either(names: list[str]) -> str:
    words = {
        "string": "text",
        "number": "a number",
        "integer": "a whole number",
        "boolean": "true or false",
        "object": "a group of `key: value` lines",
        "array": "a list",
        "null": "empty",
    }
    return " or ".join(words.get(name, name) for name in names)


def _pattern_hint(error: Any) -> str:
    hint = error.schema.get("description", "") if isinstance(error.schema, dict) else ""
    pattern = str(error.validator_value)
    if pattern.startswith("^[a-z0-9]([a-z0-9-]"):
        return "Lower-case letters, digits and dashes, at most 30."
    if pattern == "^/":
        return "It begins with `/`."
    return str(hint)


def _problem(
    document: Document, path: Path, code: str, message: str, hint: str = "", field: str = ""
) -> Problem:
    line, column = document.mark(path)
    name = dotted((*path, field) if field else path)
    return Problem(code=code, path=name, message=message, line=line, column=column, hint=hint)
