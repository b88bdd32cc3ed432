"""Gate, admission, curves and comparisons: pure decisions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.manifest import Gate
from pipelines.executors.metrics import parse_metrics
from pipelines.gate import Champion, decide
from pipelines.reconcilers.admission import Capacity, Demand, plan_admission
from pipelines.services.queries import differing, flat, thin


def verdict(gate: Gate, value: float | None, champion: Champion | None = None) -> tuple[bool, str]:
    metrics = {} if value is None else {"accuracy": value}
    found = decide(gate, metrics, direction="maximize", data={}, champion=champion)
    return found.passed, found.message


@pytest.mark.parametrize(
    ("gate", "value", "champion", "passed"),
    [
        (Gate(metric="accuracy", min=0.9), 0.95, None, True),
        (Gate(metric="accuracy", min=0.9), 0.9, None, True),
        (Gate(metric="accuracy", min=0.9), 0.89, None, False),
        (Gate(metric="accuracy", max=0.9), 0.95, None, False),
        (Gate(metric="accuracy", min=0.9), None, None, False),
        (Gate(metric="accuracy", beats_champion=True), 0.5, None, True),
        (Gate(metric="accuracy", beats_champion=True), 0.5, Champion(1, 1, 0.6, True), False),
        (Gate(metric="accuracy", beats_champion=True), 0.6, Champion(1, 1, 0.6, True), False),
        (Gate(metric="accuracy", beats_champion=True), 0.7, Champion(1, 1, 0.6, True), True),
        (Gate(metric="accuracy", beats_champion=True, direction="minimize"), 0.5, Champion(1, 1, 0.6, True), True),
        (Gate(metric="accuracy", beats_champion=True), 0.5, Champion(1, 1, 0.6, False), True),
    ],
)  # fmt: skip
def test_gate(gate: Gate, value: float | None, champion: Champion | None, passed: bool) -> None:
    found, words = verdict(gate, value, champion)
    assert found is passed
    assert words


def test_a_missing_metric_is_named() -> None:
    assert "accuracy" in verdict(Gate(metric="accuracy", min=1), None)[1]


def demand(attempt: int, project: int = 1, cpu_m: int = 1000) -> Demand:
    return Demand(attempt=attempt, project=project, cpu_m=cpu_m, memory_bytes=1 << 30, gpu=0)


TWO = Capacity(cpu_m=2000, memory_bytes=8 << 30)


def test_capacity_is_never_given_twice() -> None:
    found = plan_admission([demand(3), demand(4)], [demand(1)], TWO)
    assert found.admitted == (3,)
    assert "2 of 2 CPUs" in dict(found.waiting)[4]


def test_projects_take_turns() -> None:
    waiting = [demand(1, 1), demand(2, 1), demand(3, 2)]
    assert plan_admission(waiting, [], TWO).admitted == (1, 3)


def test_a_cluster_without_limits_takes_all() -> None:
    waiting = [demand(i) for i in range(20)]
    assert len(plan_admission(waiting, [], Capacity()).admitted) == 20


@given(st.lists(st.integers(1, 4000), max_size=20), st.lists(st.integers(1, 4000), max_size=5))
def test_the_pool_is_never_overfull(wanted: list[int], busy: list[int]) -> None:
    working = [demand(100 + i, cpu_m=c) for i, c in enumerate(busy)]
    found = plan_admission([demand(i, cpu_m=c) for i, c in enumerate(wanted)], working, TWO)
    given_cpu = sum(wanted[i] for i in found.admitted)
    if len(found.admitted) > 1 or (busy and found.admitted):
        assert sum(busy) + given_cpu <= 2000
    assert set(found.admitted) | {a for a, _ in found.waiting} == set(range(len(wanted)))


def test_thinning_keeps_ends_and_extremes() -> None:
    points = [(i, 1000.0 if i == 5000 else float(i % 7)) for i in range(10_000)]
    thinned = thin(points, 100)
    assert len(thinned) <= 100
    assert thinned[0] == points[0]
    assert thinned[-1] == points[-1]
    assert (5000, 1000.0) in thinned
    assert thinned == sorted(thinned)


def test_only_differences_are_shown() -> None:
    assert differing({"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}) == {"y": {"a": 2, "b": 3}}
    assert flat({"a": {"b": [1, {"c": 2}]}}) == {"a.b[0]": 1, "a.b[1].c": 2}


def test_bad_metric_lines_are_counted_not_lost() -> None:
    lines = ['{"name": "a", "value": 1, "step": 2}', "oops", '{"name": "a", "value": "x"}',
             '{"name": "a", "value": NaN}', '{"value": 1}', ""]  # fmt: skip
    metrics, rejected = parse_metrics(lines)
    assert metrics == ({"name": "a", "value": 1.0, "step": 2},)
    assert [r.split(":")[0] for r in rejected] == [f"metrics line {n}" for n in (2, 3, 4, 5)]
