"""The next move of a rollout. Pure: what is wanted and what is seen in, one move out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from serving import histogram

MANUAL_EXPIRES = timedelta(days=7)
MIN_SAMPLE = 20
ROLLING = (25, 50, 75, 100)
ROLLING_PAUSE_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Requests of one revision since the step began."""

    requests: int = 0
    errors: int = 0
    buckets: histogram.Buckets | None = None

    @property
    def error_rate(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    @property
    def p95_s(self) -> float | None:
        return histogram.quantile(self.buckets or {}, 0.95)


@dataclass(frozen=True, kw_only=True)
class View:
    """`index` is -1 before the first step. `routed`: the data plane serves the wanted split."""

    status: str
    strategy: str
    steps: tuple[int, ...]
    index: int
    pause_s: float
    manual: bool
    max_error_rate: float | None
    max_p95_s: float | None
    created_at: datetime
    step_started_at: datetime | None
    startup_s: float
    revision_name: str
    revision_state: str  # starting, ready, idle, failed, unknown, ...
    revision_reason: str
    revision_message: str
    routed: bool
    sample: Sample


@dataclass(frozen=True)
class Move:
    message: str


@dataclass(frozen=True)
class Wait(Move):
    pass


@dataclass(frozen=True)
class Shift(Move):
    index: int


@dataclass(frozen=True)
class Complete(Move):
    pass


@dataclass(frozen=True)
class Abort(Move):
    reason: str


def steps_of(strategy: str, steps: tuple[int, ...]) -> tuple[int, ...]:
    """The percents that a strategy goes through."""
    if strategy == "canary":
        return steps or (10, 50, 100)
    if strategy == "rolling":
        return ROLLING
    return (100,)


def next_move(view: View, now: datetime) -> Move:
    """What to do now. A failed revision, too many errors or too slow answers abort at once."""
    if view.revision_state == "failed" and view.strategy != "rollback":
        words = view.revision_message or "it cannot start"
        return Abort(f"{view.revision_name} failed: {words}", view.revision_reason or "Failed")
    if view.index < 0:
        return _before(view, now)
    percent = view.steps[view.index]
    if not view.routed:
        return Wait(f"Shifting {percent}% to {view.revision_name}.")
    bad = _analysis(view)
    if bad is not None:
        return bad
    if percent >= 100:
        return Complete(f"{view.revision_name} serves all requests.")
    if view.status == "paused":
        if view.step_started_at and now - view.step_started_at > MANUAL_EXPIRES:
            return Abort("Nobody advanced it for 7 days.", "PauseExpired")
        return Wait(f"Paused at {percent}%.")
    since = now - (view.step_started_at or now)
    if view.manual:
        if since > MANUAL_EXPIRES:
            return Abort("Nobody advanced it for 7 days.", "PauseExpired")
        return Wait(f"At {percent}%, waiting for someone to advance it.{_said(view.sample)}")
    pause = min(view.pause_s, ROLLING_PAUSE_S) if view.strategy == "rolling" else view.pause_s
    if since.total_seconds() >= pause:
        following = view.steps[view.index + 1]
        return Shift(f"Shifting {following}% to {view.revision_name}.", view.index + 1)
    left = pause - since.total_seconds()
    return Wait(f"At {percent}%, watching for {left:.0f} s more.{_said(view.sample)}")


def _before(view: View, now: datetime) -> Move:
    if view.revision_state in ("ready", "idle") or view.strategy == "rollback":
        return Shift(f"Shifting {view.steps[0]}% to {view.revision_name}.", 0)
    limit = timedelta(seconds=view.startup_s * 2 + 60)
    if now - view.created_at > limit and view.revision_state != "unknown":
        return Abort(
            f"{view.revision_name} was not ready in time. {view.revision_message}".strip(),
            view.revision_reason or "SlowStart",
        )
    words = view.revision_message or "its first replica is starting"
    return Wait(f"Waiting for {view.revision_name}: {words}")


def _analysis(view: View) -> Abort | None:
    sample = view.sample
    if sample.requests < MIN_SAMPLE:
        return None
    if view.max_error_rate is not None and sample.error_rate > view.max_error_rate:
        return Abort(
            f"{sample.error_rate:.1%} of {sample.requests} requests to {view.revision_name} "
            f"failed; the limit is {view.max_error_rate:.1%}.",
            "ErrorRate",
        )
    p95 = sample.p95_s
    if view.max_p95_s is not None and p95 is not None and p95 > view.max_p95_s:
        return Abort(
            f"p95 of {view.revision_name} is {p95 * 1000:.0f} ms over {sample.requests} requests; "
            f"the limit is {view.max_p95_s * 1000:.0f} ms.",
            "Latency",
        )
    return None


def _said(sample: Sample) -> str:
    if not sample.requests:
        return " No requests yet."
    p95 = sample.p95_s
    slow = f", p95 {p95 * 1000:.0f} ms" if p95 is not None else ""
    return f" {sample.requests} requests, {sample.error_rate:.1%} failed{slow}."
