"""Which status may follow which, for runs, steps and attempts. Pure; no Django."""

from __future__ import annotations

from portal.core.states import TransitionTable


def _table(noun: str, **moves: str) -> TransitionTable:
    table = {status: frozenset(to.split()) for status, to in moves.items()}
    return TransitionTable(noun, table, initial="pending")


RUN = _table(
    "run",
    pending="running cancelling cancelled failed crashed",
    running="cancelling succeeded failed crashed rejected",
    cancelling="cancelled failed crashed",
    succeeded="",
    failed="",
    crashed="",
    cancelled="",
    rejected="",
)
STEP = _table(
    "step",
    pending="starting running cached skipped succeeded failed crashed cancelled",
    starting="running cancelling succeeded failed crashed cancelled",
    running="cancelling succeeded failed crashed cancelled",
    cancelling="cancelled failed crashed",
    succeeded="",
    failed="",
    crashed="",
    cancelled="",
    skipped="",
    cached="",
)
ATTEMPT = _table(
    "attempt",
    pending="starting cancelled crashed",
    starting="running cancelling succeeded failed crashed cancelled interrupted lost",
    running="cancelling succeeded failed crashed cancelled interrupted lost",
    cancelling="cancelled crashed",
    succeeded="",
    failed="",
    crashed="",
    cancelled="",
    interrupted="",
    lost="",
)

STEP_DONE = frozenset({"succeeded", "cached"})
STEP_BROKEN = frozenset({"failed", "crashed", "cancelled", "skipped"})
ATTEMPT_OUTSIDE = frozenset({"starting", "running", "cancelling"})
ATTEMPT_PLATFORM = frozenset({"crashed", "interrupted", "lost"})
EXECUTED_KINDS = frozenset({"prepare", "user", "build"})
HANDLED_KINDS = frozenset({"verify", "deploy"})
