"""Comparing answers: what differs, where, and by how much is allowed."""

from __future__ import annotations

import json

import pytest

from contract.checks import Answer, compare


def answer(body: object = None, status: int = 200, elapsed_s: float = 0.01) -> Answer:
    return Answer(
        status, {"Content-Type": "application/json"}, json.dumps(body).encode(), elapsed_s
    )


@pytest.mark.parametrize(
    ("expect", "body"),
    [
        ({"json": {"a": 1}}, {"a": 1, "b": 2}),
        ({"json": {"a": [1, {"b": 2}]}}, {"a": [1, {"b": 2, "c": 3}]}),
        ({"json": {"p": 0.5}, "tolerance": 0.01}, {"p": 0.509}),
        ({"json": {"p": 100.0}, "tolerance": 0.01}, {"p": 100.9}),
        ({"json_exact": {"a": 1}}, {"a": 1}),
        ({"schema": {"type": "object", "required": ["a"]}}, {"a": 1}),
        ({"contains": '"a"'}, {"a": 1}),
        ({"headers": {"content-type": "application/json"}}, {}),
        ({"within": 0.5}, {}),
    ],
)
def test_these_answers_pass(expect: dict[str, object], body: object) -> None:
    assert compare(expect, answer(body)) == ()


@pytest.mark.parametrize(
    ("expect", "body", "path", "kind"),
    [
        ({"json": {"a": 1}}, {"a": 2}, "/a", "json"),
        ({"json": {"a": {"b": [1, 2]}}}, {"a": {"b": [1, 3]}}, "/a/b/1", "json"),
        ({"json": {"a": 1}}, {}, "/a", "json"),
        ({"json": {"a": True}}, {"a": 1}, "/a", "json"),
        ({"json": {"a": "1"}}, {"a": 1}, "/a", "json"),
        ({"json": [1, 2]}, [1], "", "json"),
        ({"json_exact": {"a": 1}}, {"a": 1, "b": 2}, "/b", "json"),
        ({"json": {"p": 0.5}, "tolerance": 0.01}, {"p": 0.52}, "/p", "json"),
        ({"json": {"x/y": 1}}, {"x/y": 2}, "/x~1y", "json"),
        ({"schema": {"properties": {"a": {"maximum": 1}}}}, {"a": 2}, "/a", "schema"),
        ({"status": 201}, {}, "", "status"),
        ({"within": 0.001}, {}, "", "latency"),
        ({"headers": {"X-A": "1"}}, {}, "X-A", "header"),
    ],
)
def test_a_difference_names_its_place(
    expect: dict[str, object], body: object, path: str, kind: str
) -> None:
    (found,) = compare(expect, answer(body))
    assert (found.path, found.kind) == (path, kind)
    assert found.message


def test_a_body_that_is_not_json_says_so() -> None:
    (found,) = compare({"json": {"a": 1}}, Answer(200, {}, b"<html>", 0.0))
    assert found.kind == "body"


def test_differences_are_bounded() -> None:
    expected = {str(i): i for i in range(500)}
    assert len(compare({"json": expected}, answer({}))) == 50


def test_nan_equals_nan_only() -> None:
    nan = Answer(200, {}, b'{"a": NaN}', 0.0)
    assert compare({"json": {"a": float("nan")}}, nan) == ()
    assert compare({"json": {"a": 1.0}}, nan)
