"""Which status may follow which, for verifications, revisions and rollouts. Pure; no Django."""

from __future__ import annotations

from portal.core.states import TransitionTable


def _table(noun: str, initial: str, **moves: str) -> TransitionTable:
    table = {status: frozenset(to.split()) for status, to in moves.items()}
    return TransitionTable(noun, table, initial=initial)


VERIFICATION = _table(
    "verification",
    "pending",
    pending="starting tearing_down cancelled crashed",
    starting="checking tearing_down",
    checking="tearing_down",
    tearing_down="passed failed crashed cancelled",
    passed="",
    failed="",
    crashed="",
    cancelled="",
)
REVISION = _table(
    "revision",
    "pending",
    pending="starting retired failed",
    starting="ready failed draining retired",
    ready="draining failed starting",
    draining="retired starting ready",
    retired="starting",
    failed="starting",
)
ROLLOUT = _table(
    "rollout",
    "progressing",
    progressing="paused completed aborted rolled_back",
    paused="progressing completed aborted rolled_back",
    completed="",
    aborted="",
    rolled_back="",
)
REVISION_LIVE = frozenset({"pending", "starting", "ready", "draining"})
