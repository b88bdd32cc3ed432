"""How many replicas a revision should have, from samples of its concurrency. Pure.

The algorithm is Knative's pod autoscaler (https://knative.dev/docs/serving/autoscaling/): the
average over a stable window decides; when the average over a short panic window asks for twice
what there is, that one decides and nothing is taken away until a stable window has passed.
Taking away also needs room to spare (`SPARE`), so that noise around a boundary changes nothing.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from node.documents import ScaleDecision

PANIC_THRESHOLD = 2.0
MAX_UP_RATE = 10.0  # times the present number in one decision
MAX_DOWN_RATE = 2.0
SPARE = 0.1  # of the capacity that would be left


@dataclass(frozen=True, kw_only=True)
class Policy:
    """`target` is the requests in flight that one replica should have. `floor` is the least
    number while the revision is in traffic; 0 lets it go to zero after `idle_s` of silence."""

    target: int
    floor: int
    max: int
    idle_s: float
    stable_s: float = 60.0
    panic_s: float = 6.0


@dataclass
class Autoscaler:
    """The memory of one revision's autoscaling. Times are any seconds that only grow."""

    samples: deque[tuple[float, float]] = field(default_factory=deque)
    active_at: float | None = None  # when a request was last there
    panic_until: float | None = None
    panic_wanted: int = 0

    def record(self, now: float, concurrency: float, *, active: bool, keep_s: float = 60.0) -> None:
        """One sample; `active` when any request was there since the last one, also between."""
        if active or concurrency > 0 or self.active_at is None:
            self.active_at = now
        self.samples.append((now, concurrency))
        while self.samples and self.samples[0][0] < now - keep_s:
            self.samples.popleft()

    def average(self, now: float, window_s: float) -> float:
        """Over the part of the window that has samples."""
        values = [value for at, value in self.samples if at >= now - window_s]
        return sum(values) / len(values) if values else 0.0

    def decide(self, now: float, wall: float, present: int, policy: Policy) -> ScaleDecision:
        """The number wanted now, `present` being wanted so far. `wall` dates the decision."""
        stable = self.average(now, policy.stable_s)
        panic = self.average(now, policy.panic_s)
        base = max(1, present)
        wanted, window, observed, bound = (
            self._by_stable(stable, present, policy),
            "stable",
            stable,
            "",
        )
        panic_wanted = math.ceil(panic / policy.target)
        if panic_wanted / base >= PANIC_THRESHOLD:
            self.panic_until = now + policy.stable_s
        if self.panic_until is not None and now >= self.panic_until:
            self.panic_until, self.panic_wanted = None, 0
        if self.panic_until is not None:
            self.panic_wanted = max(self.panic_wanted, panic_wanted, present)
            wanted, window, observed = max(wanted, self.panic_wanted), "panic", panic
        most, least = math.ceil(base * MAX_UP_RATE), math.floor(present / MAX_DOWN_RATE)
        if wanted > most:
            wanted, bound = most, "rate"
        elif wanted < least:
            wanted, bound = least, "rate"
        idle_for = now - self.active_at if self.active_at is not None else 0.0
        if idle_for >= policy.idle_s:
            # silence for so long outweighs what the windows still remember
            wanted, bound = 0, "idle"
            self.panic_until, self.panic_wanted = None, 0
        elif wanted == 0 and present > 0:
            wanted, bound = 1, "idle"
        if wanted < policy.floor:
            wanted, bound = policy.floor, "min"
        if wanted > policy.max:
            wanted, bound = policy.max, "max"
        return ScaleDecision(
            at=wall,
            wanted=wanted,
            observed=round(observed, 2),
            target=policy.target,
            window="panic" if window == "panic" else "stable",
            bound=bound,  # type: ignore[arg-type]
            message=_sentence(wanted, observed, window, bound, policy),
        )

    def _by_stable(self, average: float, present: int, policy: Policy) -> int:
        wanted = math.ceil(average / policy.target)
        if wanted < present:
            with_spare = math.ceil(average * (1 + SPARE) / policy.target)
            wanted = min(present, with_spare)
        return wanted


def _sentence(wanted: int, observed: float, window: str, bound: str, policy: Policy) -> str:
    seconds = policy.panic_s if window == "panic" else policy.stable_s
    seen = f"{observed:.1f} requests in flight on average over {seconds:g} s, {policy.target} wanted a replica"
    because = {
        "min": f"the minimum of {policy.floor} applies",
        "max": f"the maximum of {policy.max} applies",
        "rate": "no more than that may change at once",
        "idle": f"it goes to zero after {policy.idle_s:g} s without a request"
        if wanted
        else f"no request for {policy.idle_s:g} s",
    }.get(bound)
    number = f"{wanted} replica{'' if wanted == 1 else 's'}"
    return f"{number}: {seen}{'; ' + because if because else ''}."
