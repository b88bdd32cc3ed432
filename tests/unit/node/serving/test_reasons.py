from __future__ import annotations

import pytest

from node.documents import Exit, Probe
from node.serving import reasons
from node.serving.probe import Result


def ended(code: int | None = 1, **changes: object) -> Exit:
    values = {"code": code, "signal": None, "reason": "Error", "message": f"It exited with {code}."}
    return Exit(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("exit", "log", "code", "words"),
    [
        (ended(), ["ModuleNotFoundError: No module named 'lightgbm'"], "MissingModule", "lightgbm"),
        (
            ended(),
            ['ERROR:    Error loading ASGI app. Could not import module "srv".'],
            "MissingModule",
            "srv",
        ),
        (ended(127), ["/bin/sh: 1: uvicorn: not found"], "CommandNotFound", "`uvicorn`"),
        (ended(), ["Traceback", "KeyError: 'x'", ""], "AppCrashed", "KeyError: 'x'"),
        (ended(0), [], "AppCrashed", "foreground"),
        (
            ended(None, signal=9, reason="OutOfMemory", message="Too much."),
            [],
            "OutOfMemory",
            "Too",
        ),
    ],
)
def test_an_end_is_named(exit: Exit, log: list[str], code: str, words: str) -> None:
    found = reasons.of_exit(exit, log, was_ready=False)
    assert found.code == code
    assert words in found.message


def test_a_module_that_is_missing_later_is_a_crash() -> None:
    log = ["ModuleNotFoundError: No module named 'x'"]
    assert reasons.of_exit(ended(), log, was_ready=True).code == "AppCrashed"


@pytest.mark.parametrize(
    ("result", "code", "words"),
    [
        (Result("status", 404), "Unhealthy", "404"),
        (Result("refused"), "SlowStart", "$PORT (8123)"),
        (Result("timeout"), "SlowStart", "no answer"),
        (Result("broken"), "Unhealthy", "HTTP"),
    ],
)
def test_a_start_that_takes_too_long_is_named(result: Result, code: str, words: str) -> None:
    found = reasons.not_ready(result, Probe(path="/healthz"), 8123)
    assert found.code == code
    assert words in found.message
