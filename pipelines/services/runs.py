"""Runs: making them with their steps, asking for their end, and trying again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import transaction

from contract import params as parameters
from contract.graph import order
from contract.manifest import Manifest
from pipelines import states
from pipelines.models import DatasetVersion, Run, RunData, Step, Submission
from portal.accounts import audit
from portal.accounts.principals import Principal
from portal.core import clock, events, transitions
from portal.core.errors import Conflict, InvalidInput
from portal.projects.services.projects import next_number

STEPS_OF_PLATFORM = ("gate", "build", "verify", "deploy")


def create(
    *,
    principal: Principal,
    submission: Submission,
    data: Mapping[str, DatasetVersion],
    params: Mapping[str, Any] | None = None,
    use_cache: bool = True,
    cause: Mapping[str, Any] | None = None,
    parent: Run | None = None,
) -> Run:
    """A pending run with all of its steps. Nothing is started.

    With `parent`, steps that succeeded there are reused (a retry from the failed step).

    Raises:
        InvalidInput: a parameter is unknown or of the wrong type.
    """
    manifest = submission.spec
    merged, problems = parameters.merge(manifest.params, params or {})
    if problems:
        raise InvalidInput(
            "The parameters do not fit the manifest.",
            code="bad_params",
            problems=[problem.to_dict() for problem in problems],
        )
    with transaction.atomic():
        run = Run.objects.create(
            project=submission.project,
            submission=submission,
            parent=parent,
            number=next_number(submission.project, "last_run"),
            params=merged,
            data_key=data_key(data),
            cause=dict(cause or {"kind": "submit"}),
            author=principal.name,
            use_cache=use_cache and settings.PIPELINES["CACHE"],
            executor=settings.PIPELINES["EXECUTOR"],
            builder=settings.PIPELINES["BUILDER"],
            status="pending",
            status_reason="Submitted",
            status_message="Waiting to be looked at.",
        )
        RunData.objects.bulk_create(
            RunData(run=run, slot=slot, version=version) for slot, version in data.items()
        )
        steps = Step.objects.bulk_create(_steps(run, manifest))
        if parent is not None:
            _reuse(steps, parent)
        events.append(
            **run.event_scope(),
            noun="run",
            subject_uid=run.uid,
            subject_version=run.version,
            kind="created",
            actor=principal.name,
            data={"number": run.number, "cause": run.cause},
        )
        events.hint(topic=f"project:{run.project.uid}", **run.project.scope)
    return run  # type: ignore[no-any-return]


def request_cancel(*, principal: Principal, run: Run) -> None:
    """Write down that the run is to end; the reconciler does it. Repeating is harmless."""
    if run.is_terminal:
        raise Conflict(f"Run #{run.number} has ended already.", code="already_ended")
    if run.cancel_requested_at is not None:
        return
    with transaction.atomic():
        transitions.edit(run, cancel_requested_at=clock.now())
        audit.record(
            principal, "run.cancel", noun="run", subject_uid=run.uid,
            subject=f"{run.project.path}#{run.number}", **run.project.scope,
        )  # fmt: skip
        events.append(
            **run.event_scope(), noun="run", subject_uid=run.uid, subject_version=run.version,
            kind="cancel_requested", actor=principal.name,
        )  # fmt: skip


def retry(*, principal: Principal, run: Run) -> Run:
    """A new run that takes over what succeeded and goes on from what did not (ADR 0004).

    Raises:
        Conflict: the run is still going, or there is nothing to try again.
    """
    if not run.is_terminal:
        raise Conflict(f"Run #{run.number} has not ended yet.", code="not_ended")
    if run.status == "succeeded":
        raise Conflict(
            f"Run #{run.number} succeeded; start a new run instead.", code="nothing_to_retry"
        )
    data = {d.slot: d.version for d in run.data.select_related("version")}
    return create(
        principal=principal,
        submission=run.submission,
        data=data,
        params=run.params,
        use_cache=run.use_cache,
        cause={"kind": "retry", "run": run.number},
        parent=run,
    )


def data_key(data: Mapping[str, DatasetVersion]) -> str:
    """What identifies a choice of data versions; empty without data."""
    if not data:
        return ""
    named = {slot: version.uid for slot, version in data.items()}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def plan_steps(manifest: Manifest) -> list[tuple[str, str, list[str]]]:
    """(name, kind, needs) of every step of a run, in order. Pure."""
    needs = {step.name: list(step.needs) for step in manifest.steps}
    found: list[tuple[str, str, list[str]]] = [("prepare", "prepare", [])]
    found += [(name, "user", needs[name] or ["prepare"]) for name in order(needs)]
    last = [name for name in needs if not any(name in others for others in needs.values())]
    wanted = {
        "gate": manifest.gate is not None,
        "build": manifest.serve is not None,
        "verify": manifest.serve is not None and bool(manifest.verify),
        "deploy": manifest.serve is not None and manifest.deploy is not None,
    }
    for name in STEPS_OF_PLATFORM:
        if wanted[name]:
            found.append((name, name, last))
            last = [name]
    return found


def _steps(run: Run, manifest: Manifest) -> list[Step]:
    return [
        Step(
            run=run,
            name=name,
            kind=kind,
            needs=needs,
            position=position,
            status=states.STEP.initial,
            status_message=f"Waiting for {', '.join(needs)}." if needs else "",
        )
        for position, (name, kind, needs) in enumerate(plan_steps(manifest))
    ]


def _reuse(steps: list[Step], parent: Run) -> None:
    """Point steps at what succeeded in the parent; the reconciler turns them to `cached`."""
    done = {
        step.name: step
        for step in parent.steps.all()
        if step.status in states.STEP_DONE and step.kind in states.EXECUTED_KINDS
    }
    fresh = {step.name: step for step in Step.objects.filter(run_id=steps[0].run_id)}
    for name, step in fresh.items():
        source = done.get(name)
        if source is not None and all(need in done for need in step.needs):
            Step.objects.filter(pk=step.pk).update(cached_from=source.cached_from or source)
