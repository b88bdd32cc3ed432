"""Rollouts and traffic: bounded, never to an unready revision, and always with an end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.core.errors import InvalidInput
from serving import histogram, rollouts, traffic
from serving.rollouts import Abort, Complete, Sample, Shift, View, Wait, next_move
from serving.traffic import Target

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def view(**changes: object) -> View:
    base = View(
        status="progressing", strategy="canary", steps=(10, 50, 100), index=-1, pause_s=60.0,
        manual=False, max_error_rate=0.02, max_p95_s=0.5, created_at=NOW, step_started_at=None,
        startup_s=120.0, revision_name="r2", revision_state="ready", revision_reason="",
        revision_message="", routed=True, sample=Sample(),
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


SLOW = {"0.1": 0, "0.5": 10, "1": 100, "inf": 100}
PAST = NOW - timedelta(seconds=61)
WEEK = NOW - timedelta(days=8)

CASES = [
    ("waits for readiness", view(revision_state="starting"), Wait),
    ("shifts when ready", view(), Shift),
    ("a failed revision aborts", view(revision_state="failed"), Abort),
    ("too slow a start aborts", view(revision_state="starting", created_at=NOW - timedelta(hours=1)), Abort),
    ("an unreachable backend does not abort", view(revision_state="unknown", created_at=WEEK), Wait),
    ("watches the step", view(index=0, step_started_at=NOW), Wait),
    ("goes on after the pause", view(index=0, step_started_at=PAST), Shift),
    ("never before it is routed", view(index=0, step_started_at=PAST, routed=False), Wait),
    ("too many errors abort", view(index=0, step_started_at=NOW, sample=Sample(requests=100, errors=3)), Abort),
    ("few requests prove nothing", view(index=0, step_started_at=NOW, sample=Sample(requests=10, errors=9)), Wait),
    ("too slow answers abort", view(index=0, step_started_at=NOW, sample=Sample(requests=100, buckets=SLOW)), Abort),
    ("the last step completes", view(index=2, step_started_at=NOW), Complete),
    ("a manual step waits", view(index=0, step_started_at=PAST, manual=True), Wait),
    ("a pause waits", view(index=0, step_started_at=PAST, status="paused"), Wait),
    ("a forgotten pause aborts", view(index=0, step_started_at=WEEK, status="paused"), Abort),
    ("a rollback does not wait for readiness", view(strategy="rollback", steps=(100,), revision_state="starting"), Shift),
]  # fmt: skip


@pytest.mark.parametrize(("given_view", "kind"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_next_move(given_view: View, kind: type) -> None:
    move = next_move(given_view, NOW)
    assert type(move) is kind
    assert move.message


@settings(max_examples=200)
@given(
    st.lists(st.integers(1, 99), max_size=5, unique=True).map(sorted),
    st.lists(st.sampled_from(["ready", "starting", "unknown", "failed"]), min_size=1, max_size=60),
    st.lists(st.integers(0, 200), min_size=1, max_size=60),
)
def test_a_rollout_always_ends_and_only_rises(
    steps: list[int], states: list[str], errors: list[int]
) -> None:
    current = view(steps=(*steps, 100), pause_s=1.0)
    now, reached = NOW, 0
    for turn in range(2000):
        now += timedelta(seconds=2)
        current = replace(
            current,
            revision_state=states[turn % len(states)],
            sample=Sample(requests=1000, errors=errors[turn % len(errors)]),
        )
        move = next_move(current, now)
        if isinstance(move, Shift):
            assert current.revision_state in ("ready", "idle") or current.index >= 0
            assert current.steps[move.index] > reached
            reached = current.steps[move.index]
            current = replace(current, index=move.index, step_started_at=now)
        elif not isinstance(move, Wait):
            return
    assert set(states) <= {"unknown"}, "only an unreachable backend may keep a rollout waiting"


targets = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(0, 100)), min_size=1, max_size=5,
    unique_by=lambda t: t[0],
)  # fmt: skip


@given(targets, st.integers(0, 100))
def test_a_shift_always_totals_100(split: list[tuple[str, int]], percent: int) -> None:
    stable = [Target(name, share) for name, share in split]
    shifted = traffic.shift(stable, "new", percent)
    assert sum(t.percent for t in shifted) == 100
    assert all(0 <= t.percent <= 100 for t in shifted)
    if any(t.percent for t in stable):
        assert next(t.percent for t in shifted if t.revision == "new") == percent


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ([Target("a", 50)], "total 50"),
        ([Target("a", 50), Target("a", 50)], "twice"),
        ([Target("z", 100)], "not the endpoint's"),
        ([Target("a", 150), Target("b", -50)], "from 0 to 100"),
        ([Target("a", 100, "Bad_Tag")], "tag"),
    ],
)
def test_a_bad_split_is_refused(split: list[Target], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        traffic.check(split, {"a", "b"})


def test_quantiles_lie_in_their_bucket() -> None:
    buckets = {"0.1": 50, "0.2": 90, "0.5": 100, "inf": 100}
    assert histogram.quantile(buckets, 0.5) == pytest.approx(0.1)
    p95 = histogram.quantile(buckets, 0.95)
    assert p95 is not None
    assert 0.2 < p95 <= 0.5
    assert histogram.quantile({}, 0.5) is None


def test_a_counter_that_went_back_has_started_again() -> None:
    assert histogram.delta({"1": 3}, {"1": 10}) == {"1": 3}
    assert histogram.delta({"1": 13}, {"1": 10}) == {"1": 3}


def test_strategies_end_with_everything() -> None:
    for name in ("instant", "rolling", "canary", "blue-green", "rollback"):
        assert rollouts.steps_of(name, ())[-1] == 100
