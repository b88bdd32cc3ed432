"""What a run needs next. Pure: rows and observations in, actions out.

A settled run yields no actions. Actions are safe to repeat; the caller loads again after acting
and plans once more until nothing is left to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pipelines.executors.base import Observation
from pipelines.handlers import StepObservation
from pipelines.states import (
    ATTEMPT_OUTSIDE,
    ATTEMPT_PLATFORM,
    EXECUTED_KINDS,
    HANDLED_KINDS,
    STEP_BROKEN,
    STEP_DONE,
)

# Views ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class AttemptView:
    id: int
    number: int
    status: str
    admitted: bool
    deadline_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class StepView:
    id: int
    name: str
    kind: str
    status: str
    needs: tuple[str, ...]
    retries: int
    deadline_at: datetime | None
    reason: str = ""
    attempts: tuple[AttemptView, ...] = ()

    @property
    def last(self) -> AttemptView | None:
        return self.attempts[-1] if self.attempts else None


@dataclass(frozen=True, kw_only=True)
class RunView:
    id: int
    status: str
    cancel_requested: bool
    published: bool
    platform_retries: int
    steps: tuple[StepView, ...]


# Actions -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Action:
    pass


@dataclass(frozen=True)
class BeginRun(Action):
    pass


@dataclass(frozen=True)
class CancelRun(Action):
    pass


@dataclass(frozen=True)
class FinishRun(Action):
    status: str
    reason: str
    message: str


@dataclass(frozen=True)
class BeginStep(Action):
    """Reuse a cached result, or make the first attempt."""

    step: int


@dataclass(frozen=True)
class DecideGate(Action):
    step: int


@dataclass(frozen=True)
class EnsureHandled(Action):
    step: int


@dataclass(frozen=True)
class SettleHandled(Action):
    step: int
    observation: StepObservation


@dataclass(frozen=True)
class CancelHandled(Action):
    step: int


@dataclass(frozen=True)
class SkipStep(Action):
    step: int
    message: str


@dataclass(frozen=True)
class DropStep(Action):
    """A step that never began, of a run that is being cancelled."""

    step: int


@dataclass(frozen=True)
class RetryStep(Action):
    step: int
    why: str


@dataclass(frozen=True)
class EndStep(Action):
    """The step ends as its last attempt did."""

    step: int
    status: str


@dataclass(frozen=True)
class Launch(Action):
    attempt: int


@dataclass(frozen=True)
class NoteRunning(Action):
    attempt: int
    observation: Observation


@dataclass(frozen=True)
class NoteWaiting(Action):
    attempt: int
    observation: Observation


@dataclass(frozen=True)
class Collect(Action):
    """It exited with 0: outputs and metrics come in, the step succeeds."""

    attempt: int
    observation: Observation


@dataclass(frozen=True)
class EndAttempt(Action):
    attempt: int
    status: str
    reason: str
    message: str
    observation: Observation | None


@dataclass(frozen=True)
class CancelAttempt(Action):
    attempt: int


@dataclass(frozen=True)
class Reap(Action):
    """It has ended, but not all of it is proved gone: end the rest before anything follows."""

    attempt: int


@dataclass(frozen=True)
class Publish(Action):
    """Everything but deploy has succeeded: the model version exists from here on."""


# The plan ------------------------------------------------------------------------------------


def plan(
    run: RunView,
    observations: Mapping[int, Observation],
    handled: Mapping[int, StepObservation],
    now: datetime,
) -> list[Action]:
    """The next actions, in order. `observations` by attempt id, `handled` by step id."""
    if run.status in ("succeeded", "failed", "crashed", "cancelled", "rejected"):
        return []
    cancelling = run.cancel_requested or run.status == "cancelling"
    if run.cancel_requested and run.status != "cancelling":
        return [CancelRun()]
    if run.status == "pending":
        return [BeginRun()]
    by_name = {step.name: step for step in run.steps}
    stopped = next((step for step in run.steps if step.status in STEP_BROKEN), None)
    actions: list[Action] = []
    for step in run.steps:
        if step.status == "pending" and not step.attempts:
            following = _pending(step, by_name, cancelling, stopped)
            if (
                following == [EnsureHandled(step.id)]
                and step.kind == "deploy"
                and not run.published
            ):
                following = [Publish()]  # what is deployed is a model version
            actions += following
        elif step.status in ("pending", "starting", "running", "cancelling"):
            if step.kind in EXECUTED_KINDS:
                actions += _executed(step, run, observations, cancelling, now)
            elif step.kind in HANDLED_KINDS:
                actions += _handled(step, handled.get(step.id), cancelling, now)
            else:
                actions.append(DecideGate(step.id))
    if actions:
        return actions
    if not run.published and not cancelling and _ready_to_publish(run):
        return [Publish()]
    if all(step.status in STEP_DONE or step.status in STEP_BROKEN for step in run.steps):
        return [_finish(run, cancelling)]
    return []


def _pending(
    step: StepView, by_name: Mapping[str, StepView], cancelling: bool, stopped: StepView | None
) -> list[Action]:
    if cancelling:
        return [DropStep(step.id)]
    needs = [by_name[name] for name in step.needs]
    broken = next((need for need in needs if need.status in STEP_BROKEN), None) or stopped
    if broken is not None:
        return [SkipStep(step.id, f"`{broken.name}` {_became(broken.status)}.")]
    if not all(need.status in STEP_DONE for need in needs):
        return []
    if step.kind in EXECUTED_KINDS:
        return [BeginStep(step.id)]
    if step.kind in HANDLED_KINDS:
        return [EnsureHandled(step.id)]
    return [DecideGate(step.id)]


def _executed(
    step: StepView,
    run: RunView,
    observations: Mapping[int, Observation],
    cancelling: bool,
    now: datetime,
) -> list[Action]:
    attempt = step.last
    if attempt is None:
        return [DropStep(step.id)] if cancelling else [RetryStep(step.id, "")]
    if attempt.status == "pending":
        if cancelling:
            return [EndAttempt(attempt.id, "cancelled", "Cancelled", "It never began.", None)]
        return [Launch(attempt.id)] if attempt.admitted else []
    if attempt.status in ATTEMPT_OUTSIDE:
        return _outside(attempt, observations.get(attempt.id), cancelling, now)
    return _after(step, attempt, run, cancelling)


def _outside(
    attempt: AttemptView, seen: Observation | None, cancelling: bool, now: datetime
) -> list[Action]:
    late = attempt.deadline_at is not None and now > attempt.deadline_at
    if seen is None:
        return []
    ended = seen.state in ("exited", "lost")
    if attempt.status == "cancelling":
        if ended and seen.gone:
            return [EndAttempt(attempt.id, "cancelled", "Cancelled", "It was cancelled.", seen)]
        if late:
            words = "It could not be proved gone in time; what is left of it: " + (
                seen.message or seen.state
            )
            return [EndAttempt(attempt.id, "crashed", "NotGone", words, seen)]
        return [CancelAttempt(attempt.id)]
    if ended and not seen.gone:
        if late:
            return [EndAttempt(attempt.id, "crashed", "NotGone", "It could not be ended.", seen)]
        return [CancelAttempt(attempt.id)] if cancelling else [Reap(attempt.id)]
    if seen.state == "exited" and seen.exit is not None:
        return [_exited(attempt, seen)]
    if seen.state == "lost":
        if cancelling:
            return [CancelAttempt(attempt.id)]
        if seen.reason == "NeverStarted" and attempt.status == "starting" and not late:
            return [Launch(attempt.id)]
        return [EndAttempt(attempt.id, "lost", seen.reason or "Lost", seen.message, seen)]
    if cancelling or late:
        return [CancelAttempt(attempt.id)]
    if seen.state == "running" and attempt.status == "starting":
        return [NoteRunning(attempt.id, seen)]
    return [NoteWaiting(attempt.id, seen)] if seen.message else []


def _exited(attempt: AttemptView, seen: Observation) -> Action:
    exit = seen.exit
    assert exit is not None
    if exit.code == 0 and exit.reason == "Completed":
        return Collect(attempt.id, seen)
    if exit.reason == "Interrupted":
        status = "interrupted"
    elif exit.platform:
        status = "crashed"
    else:
        status = "failed"
    return EndAttempt(attempt.id, status, exit.reason, exit.message, seen)


def _after(step: StepView, attempt: AttemptView, run: RunView, cancelling: bool) -> list[Action]:
    """The last attempt has ended: again, or the step ends as well."""
    if attempt.status == "succeeded":
        return [EndStep(step.id, "succeeded")]
    if cancelling or attempt.status == "cancelled":
        return [EndStep(step.id, "cancelled")]
    platform = sum(1 for a in step.attempts if a.status in ATTEMPT_PLATFORM)
    failures = sum(1 for a in step.attempts if a.status == "failed")
    if attempt.status in ATTEMPT_PLATFORM:
        if platform <= run.platform_retries:
            return [RetryStep(step.id, f"platform failure {platform} of {run.platform_retries}")]
        return [EndStep(step.id, "crashed")]
    if failures <= step.retries:
        return [RetryStep(step.id, f"retry {failures} of {step.retries}")]
    return [EndStep(step.id, "failed")]


def _handled(
    step: StepView, seen: StepObservation | None, cancelling: bool, now: datetime
) -> list[Action]:
    if seen is None:
        return []
    if seen.status not in ("pending", "running"):
        return [SettleHandled(step.id, seen)]
    late = step.deadline_at is not None and now > step.deadline_at
    if late and step.status == "cancelling":
        crashed = StepObservation(
            status="crashed", reason="NotGone", message="It could not be ended in time."
        )
        return [SettleHandled(step.id, crashed)]
    if cancelling or late:
        return [CancelHandled(step.id)]
    return [SettleHandled(step.id, seen)] if seen.message and seen.message != step.reason else []


def _ready_to_publish(run: RunView) -> bool:
    before = [step for step in run.steps if step.kind != "deploy"]
    return all(step.status in STEP_DONE for step in before)


def _finish(run: RunView, cancelling: bool) -> FinishRun:
    broken = [step for step in run.steps if step.status in STEP_BROKEN]
    crashed = next((s for s in broken if s.status == "crashed"), None)
    if crashed is not None:
        return FinishRun("crashed", "StepCrashed", f"`{crashed.name}` crashed.")
    if cancelling:
        return FinishRun("cancelled", "Cancelled", "It was cancelled.")
    failed = next((s for s in broken if s.status in ("failed", "cancelled")), None)
    if failed is not None:
        if failed.kind == "gate":
            return FinishRun("rejected", "GateRejected", "The gate said no.")
        return FinishRun("failed", "StepFailed", f"`{failed.name}` {_became(failed.status)}.")
    return FinishRun("succeeded", "Completed", "")


def _became(status: str) -> str:
    return (
        "was cancelled"
        if status == "cancelled"
        else ("was skipped" if status == "skipped" else status)
    )
