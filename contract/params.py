"""Parameters are JSON scalars, typed by their default in the manifest."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from contract.problems import Problem, nearest

Scalar = str | int | float | bool | None


def from_text(text: str) -> Scalar:
    """What somebody typed after `=`: a JSON scalar if it is one, otherwise the text itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str | int | float | bool | None) else text


def merge(
    defaults: Mapping[str, Scalar], overrides: Mapping[str, object]
) -> tuple[dict[str, Scalar], list[Problem]]:
    """Defaults with overrides, each checked against its default's type."""
    merged = dict(defaults)
    problems = []
    for name, value in overrides.items():
        path = f"params.{name}"
        if name not in defaults:
            problems.append(
                Problem(
                    code="unknown_param",
                    path=path,
                    message=f"The manifest has no parameter `{name}`.",
                    hint=nearest(name, defaults),
                )
            )
            continue
        fitted = _fit(defaults[name], value)
        if fitted is _MISFIT:
            kind = _kind(defaults[name])
            problems.append(
                Problem(
                    code="param_type",
                    path=path,
                    message=f"`{name}` is {kind}; {json.dumps(value, default=str)} is not.",
                )
            )
        else:
            merged[name] = fitted  # type: ignore[assignment]
    return merged, problems


_MISFIT = object()


def _fit(default: Scalar, value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return _MISFIT
    if default is None:
        return value if isinstance(value, str | int | float | bool | None) else _MISFIT
    if isinstance(default, bool):
        return value if isinstance(value, bool) else _MISFIT
    if isinstance(default, str):
        if isinstance(value, str):
            return value
        return json.dumps(value) if isinstance(value, int | float | bool) else _MISFIT
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _MISFIT
    if isinstance(default, float):
        return float(value)
    return int(value) if float(value).is_integer() else _MISFIT


def _kind(default: Scalar) -> str:
    if isinstance(default, bool):
        return "true or false"
    if isinstance(default, int):
        return "a whole number"
    return "a number" if isinstance(default, float) else "text"


def from_json_object(text: str) -> object:
    """A JSON object written as text, or None where it is none."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
