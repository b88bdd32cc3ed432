"""Comparing an answer with what a verify check expects. Pure.

Every difference names the place (a JSON pointer, RFC 6901), what was expected and what came.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from jsonschema import Draft202012Validator

MAX_DIFFERENCES = 50
MAX_SHOWN = 500
ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    kind: str  # status, json, schema, text, header, latency, body
    path: str
    expected: Any
    actual: Any
    message: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed_s: float


def compare(expect: Mapping[str, Any], answer: Answer) -> tuple[Difference, ...]:
    """All differences between the answer and the expectation, at most 50; empty: it passed."""
    found: list[Difference] = []
    for difference in _differences(expect, answer):
        found.append(difference)
        if len(found) == MAX_DIFFERENCES:
            break
    return tuple(found)


def _differences(expect: Mapping[str, Any], answer: Answer) -> Iterator[Difference]:
    wanted = expect.get("status", 200)
    if answer.status != wanted:
        yield Difference(
            "status", "", wanted, answer.status, f"status {answer.status} instead of {wanted}"
        )
    yield from _headers(expect.get("headers") or {}, answer.headers)
    text = answer.body.decode("utf-8", "replace")
    if "text" in expect and text != expect["text"]:
        yield Difference("text", "", _short(expect["text"]), _short(text), "the body differs")
    if "contains" in expect and expect["contains"] not in text:
        yield Difference(
            "text", "", _short(expect["contains"]), _short(text), "the body does not contain it"
        )
    if {"json", "json_exact", "schema"} & set(expect):
        yield from _json(expect, text)
    within = expect.get("within")
    if within is not None and answer.elapsed_s > within:
        yield Difference(
            "latency",
            "",
            within,
            round(answer.elapsed_s, 4),
            f"it took {answer.elapsed_s * 1000:.0f} ms instead of at most {within * 1000:.0f} ms",
        )


def _headers(wanted: Mapping[str, str], given: Mapping[str, str]) -> Iterator[Difference]:
    lower = {name.lower(): value for name, value in given.items()}
    for name, value in wanted.items():
        actual = lower.get(name.lower())
        if actual != value:
            shown = ABSENT if actual is None else actual
            yield Difference("header", name, value, shown, f"header {name} is {shown}")


def _json(expect: Mapping[str, Any], text: str) -> Iterator[Difference]:
    try:
        actual = json.loads(text)
    except ValueError:
        yield Difference("body", "", "JSON", _short(text), "the body is not JSON")
        return
    tolerance = float(expect.get("tolerance", 0))
    if "json" in expect:
        yield from _values(expect["json"], actual, "", tolerance, exact=False)
    if "json_exact" in expect:
        yield from _values(expect["json_exact"], actual, "", tolerance, exact=True)
    if "schema" in expect:
        validator = Draft202012Validator(expect["schema"])
        for error in validator.iter_errors(actual):
            path = pointer(error.absolute_path)
            rule = f"{error.validator}: {_short(error.validator_value)}"
            yield Difference("schema", path, rule, _short(error.instance), error.message[:300])


def _values(
    expected: Any, actual: Any, path: str, tolerance: float, *, exact: bool
) -> Iterator[Difference]:
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key, value in expected.items():
            here = f"{path}/{_escape(key)}"
            if key not in actual:
                yield Difference("json", here, _short(value), ABSENT, f"{here} is absent")
            else:
                yield from _values(value, actual[key], here, tolerance, exact=exact)
        if exact:
            for key in actual:
                if key not in expected:
                    here = f"{path}/{_escape(key)}"
                    yield Difference(
                        "json", here, ABSENT, _short(actual[key]), f"{here} is not expected"
                    )
        return
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield Difference(
                "json",
                path,
                f"{len(expected)} items",
                f"{len(actual)} items",
                f"{path or 'the list'} has {len(actual)} items instead of {len(expected)}",
            )
        for i, (left, right) in enumerate(zip(expected, actual, strict=False)):
            yield from _values(left, right, f"{path}/{i}", tolerance, exact=exact)
        return
    if not _same(expected, actual, tolerance):
        shown = path or "the answer"
        yield Difference(
            "json",
            path,
            _short(expected),
            _short(actual),
            f"{shown} is {_text(actual)} instead of {_text(expected)}",
        )


def _same(expected: Any, actual: Any, tolerance: float) -> bool:
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, int | float) and isinstance(actual, int | float):
        if isinstance(expected, int) and isinstance(actual, int) and not tolerance:
            return expected == actual
        left, right = float(expected), float(actual)
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        if math.isinf(left) or math.isinf(right):
            return left == right
        return abs(left - right) <= tolerance * max(1.0, abs(left))
    return type(expected) is type(actual) and bool(expected == actual)


def pointer(parts: Any) -> str:
    return "".join(f"/{_escape(str(part))}" for part in parts)


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else text[:117] + "..."


def _short(value: Any) -> Any:
    """The value itself, or the beginning of its text where it is long."""
    if isinstance(value, str):
        return value if len(value) <= MAX_SHOWN else value[:MAX_SHOWN] + "..."
    text = json.dumps(value, ensure_ascii=False, default=str)
    return value if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."
