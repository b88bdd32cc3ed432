"""Comparing answers with what a check expects."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.checks import MAX_DIFFERENCES, Answer, compare
from contract.params import from_text, merge

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def answer(body: Any, status: int = 200, **more: Any) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, more.get("headers", {}), data, more.get("elapsed_s", 0.01))


def kinds(expect: dict[str, Any], found: Answer) -> list[tuple[str, str]]:
    return [(d.kind, d.path) for d in compare(expect, found)]


def test_more_than_is_asked_for_is_fine_unless_exact() -> None:
    assert kinds({"json": {"a": 1}}, answer({"a": 1, "b": 2})) == []
    assert kinds({"json_exact": {"a": 1}}, answer({"a": 1, "b": 2})) == [("json", "/b")]


def test_paths_are_json_pointers() -> None:
    expect = {"json": {"a/b": [{"c~d": 1}], "x": 2}}
    assert kinds(expect, answer({"a/b": [{"c~d": 2}]})) == [
        ("json", "/a~1b/0/c~0d"),
        ("json", "/x"),
    ]


@pytest.mark.parametrize(
    ("expected", "actual", "tolerance", "same"),
    [
        (1.0, 1.0 + 1e-7, 1e-6, True),
        (1.0, 1.1, 1e-6, False),
        (0.0, 1e-7, 1e-6, True),
        (1e6, 1e6 + 0.5, 1e-6, True),
        (1, 1.0, 0, True),
        (1, True, 1, False),
        (1, "1", 1, False),
        (None, 0, 1, False),
        (math.nan, math.nan, 0, True),
        (math.nan, 0.0, 1, False),
        (math.inf, math.inf, 0, True),
        (math.inf, 1e308, 1, False),
    ],
)
def test_numbers(expected: Any, actual: Any, tolerance: float, same: bool) -> None:
    found = compare({"json": {"v": expected}, "tolerance": tolerance}, answer({"v": actual}))
    assert (not found) is same


def test_lists_are_compared_by_position_and_length() -> None:
    assert kinds({"json": [1, 2]}, answer([2, 1, 3])) == [
        ("json", ""), ("json", "/0"), ("json", "/1"),
    ]  # fmt: skip


def test_the_other_kinds() -> None:
    assert kinds({"status": 422}, answer({})) == [("status", "")]
    assert kinds({"headers": {"X-A": "1"}}, answer({}, headers={"x-a": "1"})) == []
    assert kinds({"headers": {"X-A": "1"}}, answer({})) == [("header", "X-A")]
    assert kinds({"contains": "lo"}, answer(b"hello")) == []
    assert kinds({"text": "hell"}, answer(b"hello")) == [("text", "")]
    assert kinds({"within": 0.1}, answer({}, elapsed_s=0.2)) == [("latency", "")]
    assert kinds({"json": {}}, answer(b"\xff<html>")) == [("body", "")]
    schema = {"type": "object", "properties": {"p": {"maximum": 1}}}
    assert kinds({"schema": schema}, answer({"p": 2})) == [("schema", "/p")]


def test_differences_are_bounded_and_fit_into_json() -> None:
    found = compare({"json": list(range(500))}, answer([-1] * 500))
    assert len(found) == MAX_DIFFERENCES
    long = compare({"text": "a" * 10_000}, answer(b"b" * 10_000))
    assert len(json.dumps([d.to_dict() for d in long])) < 3000


@given(JSON)
def test_everything_equals_itself(value: Any) -> None:
    assert compare({"json": value, "json_exact": value}, answer(value)) == ()


@given(JSON, st.binary(max_size=40))
def test_any_answer_can_be_compared(value: Any, body: bytes) -> None:
    for difference in compare({"json_exact": value, "schema": {"type": "object"}}, answer(body)):
        json.dumps(difference.to_dict())


def test_parameters_keep_the_type_of_their_default() -> None:
    defaults = {"n": 1, "rate": 0.5, "name": "a", "on": True}
    merged, problems = merge(
        defaults, {"n": 2.0, "rate": 1, "name": from_text("3"), "on": from_text("false")}
    )
    assert not problems
    assert merged == {"n": 2, "rate": 1.0, "name": "3", "on": False}
    _, problems = merge(defaults, {"n": 1.5, "rate": "x", "on": 1, "nmae": "b"})
    assert {(p.code, p.path) for p in problems} == {
        ("param_type", "params.n"), ("param_type", "params.rate"), ("param_type", "params.on"),
        ("unknown_param", "params.nmae"),
    }  # fmt: skip
