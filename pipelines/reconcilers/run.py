"""Bringing one run forward: load, observe, plan, act, until there is nothing to do.

Safe to call at any time, from anywhere, by several processes at once: every write is a
compare-and-swap, every launch a create-or-adopt under a uid that was saved before. Whoever loses
a swap stops; the winner goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.conf import settings

from pipelines.builders.loader import builder
from pipelines.executors.base import Handle, Observation
from pipelines.executors.loader import executor
from pipelines.handlers import StepObservation, handler
from pipelines.models import Attempt, Run, Step
from pipelines.reconcilers import plan, specs
from pipelines.reconcilers.actions import Actor
from pipelines.reconcilers.admission import admit
from pipelines.states import ATTEMPT_OUTSIDE, EXECUTED_KINDS, HANDLED_KINDS
from portal.core import clock
from portal.core.errors import AdapterError, PortalError
from portal.core.transitions import Stale

log = logging.getLogger(__name__)
MAX_ROUNDS = 50


@dataclass
class Loaded:
    """A run with everything a plan looks at."""

    run: Run
    steps: dict[str, Step] = field(default_factory=dict)
    attempts: dict[int, Attempt] = field(default_factory=dict)

    @property
    def by_id(self) -> dict[int, Step]:
        return {step.pk: step for step in self.steps.values()}


def reconcile_run(run_id: int) -> list[int]:
    """Do whatever the run needs now. Returns ids of other runs that may go on as well.

    Rows are loaded once: what this process changes is changed in memory too, and what another
    process changes makes the next swap fail.
    """
    wakes: set[int] = set()
    loaded = load(run_id)
    for _ in range(MAX_ROUNDS):
        if loaded is None or loaded.run.is_terminal:
            break
        now = clock.now()
        observations = observe_attempts(loaded)
        handled = observe_handled(loaded)
        view = view_of(loaded)
        actor = Actor(loaded.run, loaded.steps, loaded.attempts, now)
        changed = False
        try:
            for action in plan.plan(view, observations, handled, now):
                changed |= actor.act(action)
        except Stale:
            log.debug("run %s: someone else was first", loaded.run.uid)
            break
        for pool in actor.pools_to_admit | _unadmitted(loaded):
            for attempt_id, other in admit(pool).items():
                wakes.add(other)
                if attempt_id in loaded.attempts:
                    loaded.attempts[attempt_id].admitted_at = now
                    changed = True
        if not changed:
            break
    wakes.discard(run_id)
    return sorted(wakes)


def load(run_id: int) -> Loaded | None:
    run = (
        Run.objects.filter(pk=run_id)
        .select_related("project__team", "submission", "parent", "model_version")
        .first()
    )
    if run is None:
        return None
    steps = {step.name: step for step in Step.objects.filter(run_id=run_id).order_by("position")}
    attempts = {}
    for attempt in Attempt.objects.filter(step__run_id=run_id).order_by("step_id", "number"):
        attempts[attempt.pk] = attempt
    by_id = {step.pk: step for step in steps.values()}
    for step in steps.values():
        step.run = run
    for attempt in attempts.values():
        attempt.step = by_id[attempt.step_id]
    return Loaded(run, steps, attempts)


def view_of(loaded: Loaded) -> plan.RunView:
    manifest = loaded.run.submission.spec
    retries = {step.name: step.retries for step in manifest.steps}
    attempts: dict[int, list[plan.AttemptView]] = {}
    for attempt in loaded.attempts.values():
        attempts.setdefault(attempt.step_id, []).append(
            plan.AttemptView(
                id=attempt.pk,
                number=attempt.number,
                status=attempt.status,
                admitted=attempt.admitted_at is not None,
                deadline_at=attempt.deadline_at,
            )
        )
    return plan.RunView(
        id=loaded.run.pk,
        status=loaded.run.status,
        cancel_requested=loaded.run.cancel_requested_at is not None,
        published=hasattr(loaded.run, "model_version"),
        platform_retries=settings.PIPELINES["PLATFORM_RETRIES"],
        steps=tuple(
            plan.StepView(
                id=step.pk,
                name=step.name,
                kind=step.kind,
                status=step.status,
                needs=tuple(step.needs),
                retries=retries.get(step.name, 0),
                deadline_at=step.deadline_at,
                reason=step.status_message,
                attempts=tuple(attempts.get(step.pk, ())),
            )
            for step in loaded.steps.values()
        ),
    )


def observe_attempts(loaded: Loaded) -> Mapping[int, Observation]:
    """What is outside of every attempt that may be there. A failing adapter says `unknown`."""
    found = {}
    for attempt in loaded.attempts.values():
        if attempt.status not in ATTEMPT_OUTSIDE:
            continue
        handle = Handle(**attempt.handle)
        try:
            if attempt.step.kind == "user":
                found[attempt.pk] = executor(loaded.run.executor).observe(handle)
            elif attempt.step.kind in EXECUTED_KINDS:
                found[attempt.pk] = builder(loaded.run.builder).observe(handle)
        except AdapterError as error:
            found[attempt.pk] = Observation(
                state="unknown", reason=error.reason, message=error.message
            )
    return found


def observe_handled(loaded: Loaded) -> Mapping[int, StepObservation]:
    found = {}
    for step in loaded.steps.values():
        if step.kind in HANDLED_KINDS and step.status in ("starting", "running", "cancelling"):
            context = specs.step_context(loaded.run, step, loaded.steps)
            try:
                found[step.pk] = handler(step.kind).observe(context)
            except (AdapterError, PortalError) as error:
                log.warning("step %s cannot be observed: %s", step.uid, error)
    return found


def _unadmitted(loaded: Loaded) -> set[str]:
    return {
        attempt.pool
        for attempt in loaded.attempts.values()
        if attempt.status == "pending" and attempt.admitted_at is None
    }
