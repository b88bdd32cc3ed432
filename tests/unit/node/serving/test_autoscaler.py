from __future__ import annotations

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from node.serving.autoscaler import Autoscaler, Policy

STEP_S = 0.25


def policy(**changes: float) -> Policy:
    values = {"target": 10, "floor": 0, "max": 10, "idle_s": 30.0, "stable_s": 60.0, "panic_s": 6.0}
    return Policy(**(values | changes))  # type: ignore[arg-type]


def run(scaler: Autoscaler, loads: list[float], rule: Policy, present: int = 1, start: float = 0.0
        ) -> list[int]:  # fmt: skip
    """Feed samples a step apart and follow every decision; the wanted number after each."""
    wanted = []
    for i, load in enumerate(loads):
        now = start + i * STEP_S
        scaler.record(now, load, active=load > 0)
        present = scaler.decide(now, now, present, rule).wanted
        wanted.append(present)
    return wanted


@given(
    loads=st.lists(st.floats(0, 5000), min_size=1, max_size=400),
    floor=st.integers(0, 3),
    above=st.integers(1, 20),
    target=st.integers(1, 100),
)
@settings(max_examples=60, deadline=None)
def test_the_number_stays_between_its_bounds(
    loads: list[float], floor: int, above: int, target: int
) -> None:
    rule = policy(floor=floor, max=floor + above, target=target)
    assert all(floor <= n <= floor + above for n in run(Autoscaler(), loads, rule, max(1, floor)))


@given(level=st.floats(5, 95), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_noise_around_a_level_does_not_flap(level: float, seed: int) -> None:
    noise = random.Random(seed)
    loads = [level * noise.uniform(0.7, 1.3) for _ in range(1200)]
    wanted = run(Autoscaler(), loads, policy(max=20))[480:]  # two minutes to settle
    changes = sum(a != b for a, b in itertools.pairwise(wanted))
    assert changes <= 1


@given(level=st.floats(0.5, 99))
@settings(max_examples=40, deadline=None)
def test_a_steady_load_gets_enough_and_not_much_more(level: float) -> None:
    wanted = run(Autoscaler(), [level] * 600, policy(max=20))[-1]
    assert level / 10 <= wanted <= level / 10 * 1.1 + 1


def test_a_burst_is_answered_within_the_panic_window() -> None:
    quiet = [1.0] * 240
    scaler = Autoscaler()
    wanted = run(scaler, quiet + [80.0] * 24, policy())
    assert wanted[239] == 1
    assert wanted[-1] >= 7
    assert scaler.panic_until is not None


def test_nothing_is_taken_away_during_panic() -> None:
    wanted = run(Autoscaler(), [80.0] * 24 + [0.0] * 160, policy(idle_s=600))
    peak = max(wanted)
    assert wanted[24 : 24 + 150] == [peak] * 150


def test_it_goes_to_zero_only_after_the_idle_time() -> None:
    rule = policy(idle_s=10)
    wanted = run(Autoscaler(), [1.0] + [0.0] * 60, rule)
    assert wanted.index(0) * STEP_S >= 10
    assert wanted.index(0) * STEP_S < 11


def test_a_request_between_samples_counts_as_activity() -> None:
    scaler = Autoscaler()
    rule = policy(idle_s=5)
    for i in range(100):
        scaler.record(i * STEP_S, 0.0, active=i % 10 == 0)
        assert scaler.decide(i * STEP_S, 0.0, 1, rule).wanted == 1


def test_a_decision_says_what_bound_it() -> None:
    scaler = Autoscaler()
    scaler.record(0, 500, active=True)
    decision = scaler.decide(0, 1.0, 2, policy(max=4))
    assert (decision.wanted, decision.bound) == (4, "max")
    assert "maximum of 4" in decision.message
    assert "500.0 requests in flight" in decision.message
