"""The plan of a run: every case a row, and random runs that always end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.executors.base import ExitInfo, Observation
from pipelines.handlers import StepObservation
from pipelines.reconcilers import plan as p
from pipelines.states import ATTEMPT, RUN, STEP

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def attempt(
    status: str = "pending", *, number: int = 1, admitted: bool = False, late: bool = False
) -> p.AttemptView:
    return p.AttemptView(
        id=number, number=number, status=status, admitted=admitted,
        deadline_at=NOW - timedelta(seconds=1) if late else LATER,
    )  # fmt: skip


def step(
    name: str = "a",
    status: str = "pending",
    *,
    kind: str = "user",
    needs: tuple[str, ...] = (),
    retries: int = 0,
    attempts: tuple[p.AttemptView, ...] = (),
    number: int = 1,
) -> p.StepView:
    return p.StepView(
        id=number, name=name, kind=kind, status=status, needs=needs, retries=retries,
        deadline_at=LATER, attempts=attempts,
    )  # fmt: skip


def run(
    *steps: p.StepView, status: str = "running", cancel: bool = False, published: bool = False
) -> p.RunView:
    return p.RunView(
        id=1, status=status, cancel_requested=cancel, published=published, platform_retries=3,
        steps=steps,
    )  # fmt: skip


def exited(
    code: int | None = 0, reason: str = "Completed", *, platform: bool = False, gone: bool = True
) -> Observation:
    return Observation(
        state="exited", exit=ExitInfo(code=code, reason=reason, message="m", platform=platform),
        gone=gone,
    )  # fmt: skip


RUNNING = Observation(state="running")
LOST = Observation(state="lost", reason="ProcessVanished", gone=True)
NEVER = Observation(state="lost", reason="NeverStarted", gone=True)
UNKNOWN = Observation(state="unknown")


def going(status: str = "running", **more: object) -> p.StepView:
    return step("a", status, attempts=(attempt(status, **more),))  # type: ignore[arg-type]


CASES: list[tuple[str, p.RunView, dict[int, Observation], type[p.Action] | None]] = [
    ("a new run begins", run(step(), status="pending"), {}, p.BeginRun),
    ("a step without needs begins", run(step()), {}, p.BeginStep),
    ("a queued attempt waits", run(step(attempts=(attempt(),))), {}, None),
    ("an admitted attempt is launched", run(step(attempts=(attempt(admitted=True),))), {}, p.Launch),
    ("a launch that never arrived is repeated", run(going("starting")), {1: NEVER}, p.Launch),
    ("a running attempt is noted", run(going("starting")), {1: RUNNING}, p.NoteRunning),
    ("nothing new, nothing to do", run(going()), {1: RUNNING}, None),
    ("an unreachable node is not a lost attempt", run(going()), {1: UNKNOWN}, None),
    ("success is collected", run(going()), {1: exited()}, p.Collect),
    ("failure ends the attempt", run(going()), {1: exited(1, "Error")}, p.EndAttempt),
    ("a vanished process is lost", run(going()), {1: LOST}, p.EndAttempt),
    ("what ended but is not gone is reaped", run(going()), {1: exited(1, "Error", gone=False)}, p.Reap),
    ("an overdue attempt is ended", run(going(late=True)), {1: RUNNING}, p.CancelAttempt),
    ("a cancelled run says so first", run(going(), cancel=True), {1: RUNNING}, p.CancelRun),
    ("cancelling ends what runs", run(going(), status="cancelling", cancel=True), {1: RUNNING}, p.CancelAttempt),
    ("cancelling waits for proof", run(going("cancelling"), status="cancelling"), {1: exited(gone=False)}, p.CancelAttempt),
    ("proof ends the attempt", run(going("cancelling"), status="cancelling"), {1: exited(None, "Cancelled")}, p.EndAttempt),
    ("cancelling drops what never began", run(step(), status="cancelling", cancel=True), {}, p.DropStep),
    ("a failed attempt without retries ends its step", run(step(status="running", attempts=(attempt("failed"),))), {}, p.EndStep),
    ("a failed attempt with retries is tried again", run(step(status="running", retries=1, attempts=(attempt("failed"),))), {}, p.RetryStep),
    ("retries are used up", run(step(status="running", retries=1, attempts=(attempt("failed"), attempt("failed", number=2)))), {}, p.EndStep),
    ("a lost attempt is tried again without retries", run(step(status="running", attempts=(attempt("lost"),))), {}, p.RetryStep),
    ("a step skips when its need failed", run(step("a", "failed"), step("b", needs=("a",), number=2)), {}, p.SkipStep),
    ("a gate is decided", run(step("gate", kind="gate")), {}, p.DecideGate),
    ("verify is handed over", run(step("verify", kind="verify")), {}, p.EnsureHandled),
    ("what succeeded is published before deploy", run(step("a", "succeeded")), {}, p.Publish),
    ("a published run finishes", run(step("a", "succeeded"), published=True), {}, p.FinishRun),
]  # fmt: skip


@pytest.mark.parametrize(
    ("view", "seen", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_next_action(
    view: p.RunView, seen: dict[int, Observation], wanted: type[p.Action] | None
) -> None:
    actions = p.plan(view, seen, {}, NOW)
    assert [type(a) for a in actions] == ([wanted] if wanted else [])


def test_a_model_version_exists_before_it_is_deployed() -> None:
    built = step("build", "succeeded", kind="build")
    deploy = step("deploy", kind="deploy", needs=("build",), number=2)
    assert p.plan(run(built, deploy), {}, {}, NOW) == [p.Publish()]
    assert p.plan(run(built, deploy, published=True), {}, {}, NOW) == [p.EnsureHandled(2)]


def test_platform_failures_crash_after_three_retries() -> None:
    lost = tuple(attempt("lost", number=i) for i in range(1, 5))
    (action,) = p.plan(run(step(status="running", attempts=lost)), {}, {}, NOW)
    assert action == p.EndStep(1, "crashed")


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        ((step("a", "succeeded"),), "succeeded"),
        ((step("a", "failed"), step("b", "skipped", number=2)), "failed"),
        ((step("a", "crashed"),), "crashed"),
        ((step("gate", "failed", kind="gate"),), "rejected"),
        ((step("a", "cached"), step("b", "succeeded", number=2)), "succeeded"),
    ],
)
def test_a_run_ends_as_its_steps_did(steps: tuple[p.StepView, ...], status: str) -> None:
    (action,) = p.plan(run(*steps, published=True), {}, {}, NOW)
    assert isinstance(action, p.FinishRun)
    assert action.status == status


def test_a_handled_step_settles_as_its_handler_says() -> None:
    view = run(step("verify", "running", kind="verify"))
    failed = StepObservation(status="failed", reason="WrongAnswer", message="no")
    assert p.plan(view, {}, {1: failed}, NOW) == [p.SettleHandled(1, failed)]


# Random runs ---------------------------------------------------------------------------------


@dataclass
class World:
    """A run played out against random observations, as the reconciler would."""

    view: p.RunView
    launches: dict[int, int] = field(default_factory=dict)
    ended_as: dict[int, str] = field(default_factory=dict)

    def change(self, number: int, **values: object) -> None:
        steps = tuple(
            replace(s, **values) if s.id == number else s  # type: ignore[arg-type]
            for s in self.view.steps
        )
        self.view = replace(self.view, steps=steps)

    def step_of(self, attempt_id: int) -> p.StepView:
        return next(s for s in self.view.steps if any(a.id == attempt_id for a in s.attempts))

    def set_attempt(self, attempt_id: int, status: str) -> None:
        owner = self.step_of(attempt_id)
        before = next(a.status for a in owner.attempts if a.id == attempt_id)
        assert ATTEMPT.allows(before, status), (before, status)
        attempts = tuple(
            replace(a, status=status) if a.id == attempt_id else a for a in owner.attempts
        )
        self.change(owner.id, attempts=attempts)

    def set_step(self, number: int, status: str) -> None:
        before = next(s.status for s in self.view.steps if s.id == number)
        assert STEP.allows(before, status), (before, status)
        self.change(number, status=status)

    def new_attempt(self, number: int) -> None:
        owner = next(s for s in self.view.steps if s.id == number)
        fresh = p.AttemptView(
            id=number * 100 + len(owner.attempts) + 1, number=len(owner.attempts) + 1,
            status="pending", admitted=True, deadline_at=LATER,
        )  # fmt: skip
        self.change(number, attempts=(*owner.attempts, fresh))

    def act(self, action: p.Action) -> None:
        match action:
            case p.BeginRun():
                self.view = replace(self.view, status="running")
            case p.CancelRun():
                self.view = replace(self.view, status="cancelling")
            case p.FinishRun(status=status):
                assert RUN.allows(self.view.status, status)
                self.view = replace(self.view, status=status)
            case p.Publish():
                self.view = replace(self.view, published=True)
            case p.BeginStep(step=number) | p.RetryStep(step=number):
                self.new_attempt(number)
            case p.SkipStep(step=number):
                self.set_step(number, "skipped")
            case p.DropStep(step=number):
                self.set_step(number, "cancelled")
            case p.EndStep(step=number, status=status):
                self.set_step(number, status)
            case p.DecideGate(step=number):
                self.set_step(number, "succeeded")
            case p.Launch(attempt=one):
                self.launches[one] = self.launches.get(one, 0) + 1
                assert self.launches[one] == 1, "an attempt is launched once"
                self.set_attempt(one, "starting")
                if self.step_of(one).status == "pending":
                    self.set_step(self.step_of(one).id, "starting")
            case p.NoteRunning(attempt=one):
                self.set_attempt(one, "running")
            case p.Collect(attempt=one):
                self.set_attempt(one, "succeeded")
            case p.EndAttempt(attempt=one, status=status):
                self.set_attempt(one, status)
            case p.CancelAttempt(attempt=one):
                if self.attempt(one).status != "cancelling":
                    self.set_attempt(one, "cancelling")
                    if self.step_of(one).status in ("starting", "running"):
                        self.set_step(self.step_of(one).id, "cancelling")

    def attempt(self, one: int) -> p.AttemptView:
        return next(a for s in self.view.steps for a in s.attempts if a.id == one)


ENDS = [exited(), exited(1, "Error"), exited(None, "Evicted", platform=True), LOST, RUNNING]


@st.composite
def dags(draw: st.DrawFn) -> p.RunView:
    count = draw(st.integers(1, 6))
    steps = []
    for i in range(count):
        needs = draw(st.sets(st.integers(0, i - 1), max_size=2)) if i else set()
        steps.append(
            step(
                f"s{i}",
                number=i + 1,
                needs=tuple(f"s{n}" for n in sorted(needs)),
                retries=draw(st.integers(0, 2)),
            )
        )
    return run(*steps, status="pending")


@settings(max_examples=150, deadline=None)
@given(dags(), st.randoms(use_true_random=False), st.one_of(st.none(), st.integers(0, 30)))
def test_every_run_ends_and_no_attempt_runs_twice(
    view: p.RunView, random: object, cancel_at: int | None
) -> None:
    world = World(view)
    for turn in range(400):
        if turn == cancel_at and world.view.status not in RUN.terminal:
            world.view = replace(world.view, cancel_requested=True)
        if world.view.status in RUN.terminal:
            break
        seen = {}
        for one in (a for s in world.view.steps for a in s.attempts):
            if one.status in ("starting", "running"):
                seen[one.id] = random.choice(ENDS)  # type: ignore[attr-defined]
            elif one.status == "cancelling":
                seen[one.id] = random.choice([exited(None, "Cancelled"), RUNNING, LOST])  # type: ignore[attr-defined]
        for action in p.plan(world.view, seen, {}, NOW):
            world.act(action)
    assert world.view.status in RUN.terminal
    assert p.plan(world.view, {}, {}, NOW) == []
    live = [a for s in world.view.steps for a in s.attempts if a.status not in ATTEMPT.terminal]
    assert not live
    if world.view.cancel_requested:
        assert world.view.status in ("cancelled", "crashed")
