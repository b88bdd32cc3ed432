"""Carrying out the actions of a plan: the only place of pipelines with side effects outside.

Each method returns whether anything changed, so that the caller knows when to stop.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import singledispatchmethod

from django.db import transaction

from pipelines import states
from pipelines.builders.base import ImageRef, PrepareResult
from pipelines.builders.loader import builder
from pipelines.executors.base import Handle, Observation, Outputs
from pipelines.executors.loader import executor
from pipelines.handlers import handler
from pipelines.models import Artifact, Attempt, Image, Metric, Run, Step, Submission
from pipelines.reconcilers import plan, specs
from pipelines.services import models
from pipelines.signals import run_finished
from portal.core.errors import AdapterError, PermanentError, PortalError, TransientError
from portal.core.transitions import edit, note, transition

log = logging.getLogger(__name__)
START_WITHIN = timedelta(minutes=15)
QUEUE_WITHIN = timedelta(days=7)
RUN_WITHIN = timedelta(days=30)
END_WITHIN = timedelta(minutes=5)
HANDLED_WITHIN = timedelta(hours=6)
SPARE = timedelta(seconds=60)
METRIC_BATCH = 2000


class Actor:
    """Acts on one loaded run. Raises Stale when another process was first."""

    def __init__(
        self, run: Run, steps: dict[str, Step], attempts: dict[int, Attempt], now: datetime
    ) -> None:
        self.run = run
        self.steps = steps
        self.by_id = {step.pk: step for step in steps.values()}
        self.attempts = attempts
        self.now = now
        self.pools_to_admit: set[str] = set()

    @singledispatchmethod
    def act(self, action: plan.Action) -> bool:
        raise TypeError(f"not an action: {action!r}")

    # The run ------------------------------------------------------------------------------

    @act.register
    def _(self, action: plan.BeginRun) -> bool:
        transition(
            self.run,
            "running",
            reason="Started",
            deadline_at=self.now + RUN_WITHIN,
            started_at=self.now,
        )
        return True

    @act.register
    def _(self, action: plan.CancelRun) -> bool:
        transition(
            self.run,
            "cancelling",
            reason="CancelRequested",
            message="Ending everything that runs.",
            deadline_at=self.now + RUN_WITHIN,
        )
        return True

    @act.register
    def _(self, action: plan.FinishRun) -> bool:
        message = action.message
        broken = [s for s in self.steps.values() if s.status in ("failed", "crashed")]
        if broken and action.status in ("failed", "crashed", "rejected"):
            message = f"{message.rstrip('.')}: {broken[0].status_message}"
        transition(
            self.run,
            action.status,
            reason=action.reason,
            message=message,
            finished_at=self.now,
        )
        run_id, project_id, status = self.run.pk, self.run.project_id, action.status
        transaction.on_commit(
            lambda: run_finished.send_robust(
                sender=None, run_id=run_id, project_id=project_id, status=status
            )
        )
        return True

    @act.register
    def _(self, action: plan.Publish) -> bool:
        self.run.model_version = models.publish(self.run)
        return True

    # Steps --------------------------------------------------------------------------------

    @act.register
    def _(self, action: plan.BeginStep) -> bool:
        step = self.by_id[action.step]
        if step.kind == "prepare" and self._prepared_already(step):
            return True
        if self._cached(step):
            return True
        self._new_attempt(step, "")
        return True

    @act.register
    def _(self, action: plan.RetryStep) -> bool:
        step = self.by_id[action.step]
        self._new_attempt(step, action.why)
        return True

    @act.register
    def _(self, action: plan.SkipStep) -> bool:
        transition(
            self.by_id[action.step],
            "skipped",
            reason="Skipped",
            message=action.message,
            finished_at=self.now,
        )
        return True

    @act.register
    def _(self, action: plan.DropStep) -> bool:
        step = self.by_id[action.step]
        transition(
            step, "cancelled", reason="Cancelled", message="It never began.", finished_at=self.now
        )
        return True

    @act.register
    def _(self, action: plan.EndStep) -> bool:
        step = self.by_id[action.step]
        last = self._last_attempt(step)
        transition(
            step,
            action.status,
            reason=last.status_reason if last else "",
            message=last.status_message if last else "",
            finished_at=self.now,
        )
        return True

    @act.register
    def _(self, action: plan.DecideGate) -> bool:
        step = self.by_id[action.step]
        decision = models.decide_gate(self.run)
        passed = decision.passed
        transition(
            step,
            "succeeded" if passed else "failed",
            reason="GatePassed" if passed else "GateRejected",
            message=decision.message,
            result=decision.to_dict(),
            started_at=self.now,
            finished_at=self.now,
        )
        return True

    @act.register
    def _(self, action: plan.EnsureHandled) -> bool:
        step = self.by_id[action.step]
        context = specs.step_context(self.run, step, self.steps)
        try:
            handler(step.kind).ensure(context)
        except TransientError as error:
            return note(step, reason=error.reason, message=error.message)
        except (PortalError, PermanentError) as error:
            mine = isinstance(error, PermanentError)
            transition(
                step,
                "crashed" if mine else "failed",
                reason=getattr(error, "reason", "Refused"),
                message=error.message,
                started_at=self.now,
                finished_at=self.now,
            )
            return True
        transition(
            step,
            "running",
            reason="Started",
            deadline_at=self.now + HANDLED_WITHIN,
            started_at=self.now,
        )
        return True

    @act.register
    def _(self, action: plan.SettleHandled) -> bool:
        step, seen = self.by_id[action.step], action.observation
        if seen.status in ("pending", "running"):
            note(step, reason=seen.reason, message=seen.message, result=dict(seen.data))
            return False
        transition(
            step,
            seen.status,
            reason=seen.reason,
            message=seen.message,
            result=dict(seen.data),
            finished_at=self.now,
        )
        return True

    @act.register
    def _(self, action: plan.CancelHandled) -> bool:
        step = self.by_id[action.step]
        try:
            handler(step.kind).cancel(specs.step_context(self.run, step, self.steps))
        except (AdapterError, PortalError) as error:
            log.warning("step %s cannot be cancelled yet: %s", step.uid, error)
        if step.status == "cancelling":
            return False
        transition(step, "cancelling", reason="CancelRequested", deadline_at=self.now + END_WITHIN)
        return True

    # Attempts -----------------------------------------------------------------------------

    @act.register
    def _(self, action: plan.Launch) -> bool:
        """Write down that it starts, then start it. A crash in between is healed by `starting`:
        the observation says NeverStarted and the launch is repeated under the same uid."""
        attempt = self.attempts[action.attempt]
        step = attempt.step
        if attempt.status == "pending":
            name = self.run.executor if step.kind == "user" else self.run.builder
            transition(
                attempt,
                "starting",
                reason="Starting",
                deadline_at=self.now + START_WITHIN,
                handle=asdict(Handle(executor=name, uid=attempt.uid)),
                started_at=self.now,
            )
            self._step_goes(step, "starting")
        try:
            handle = self._start(attempt)
        except TransientError as error:
            note(attempt, reason=error.reason, message=error.message)
            return False
        except PermanentError as error:
            transition(
                attempt, "crashed", reason=error.reason, message=error.message, finished_at=self.now
            )
            return True
        if asdict(handle) != attempt.handle:
            edit(attempt, handle=asdict(handle), node_id=handle.node_id)
        return False

    @act.register
    def _(self, action: plan.NoteRunning) -> bool:
        attempt, seen = self.attempts[action.attempt], action.observation
        timeout = timedelta(seconds=self._timeout_s(attempt.step))
        transition(
            attempt,
            "running",
            reason="Running",
            deadline_at=self.now + timeout + SPARE,
            node_id=seen.node_id,
            started_at=_time(seen.started_at) or attempt.started_at,
        )
        self._step_goes(attempt.step, "running")
        return True

    @act.register
    def _(self, action: plan.NoteWaiting) -> bool:
        attempt, seen = self.attempts[action.attempt], action.observation
        for row in (attempt, attempt.step):
            note(row, reason=seen.reason or attempt.status_reason, message=seen.message)
        return False

    @act.register
    def _(self, action: plan.Collect) -> bool:
        attempt, seen = self.attempts[action.attempt], action.observation
        step = attempt.step
        handle = Handle(**attempt.handle)
        try:
            if step.kind == "prepare":
                result: PrepareResult | ImageRef | Outputs = builder(self.run.builder).prepared(
                    handle
                )
            elif step.kind == "build":
                result = builder(self.run.builder).packaged(handle)
            else:
                result = executor(self.run.executor).collect(handle)
        except TransientError as error:
            note(attempt, reason=error.reason, message=error.message)
            return False
        except PermanentError as error:
            self._end(attempt, "crashed", error.reason, error.message, seen)
            return True
        with transaction.atomic():
            self._end(attempt, "succeeded", "Completed", "", seen)
            if isinstance(result, PrepareResult):
                self._keep_environment(step, result)
            elif isinstance(result, ImageRef):
                self._keep_image(step, result)
            else:
                self._keep_outputs(step, attempt, result)
        return True

    @act.register
    def _(self, action: plan.EndAttempt) -> bool:
        attempt = self.attempts[action.attempt]
        self._end(attempt, action.status, action.reason, action.message, action.observation)
        return True

    @act.register
    def _(self, action: plan.CancelAttempt) -> bool:
        attempt = self.attempts[action.attempt]
        changed = attempt.status != "cancelling"
        if changed:
            transition(
                attempt,
                "cancelling",
                reason="CancelRequested",
                message="Waiting until every process is gone.",
                deadline_at=self.now + END_WITHIN,
            )
            if attempt.step.status in ("starting", "running"):
                transition(
                    attempt.step,
                    "cancelling",
                    reason="CancelRequested",
                    deadline_at=self.now + END_WITHIN,
                )
        self._ask_for_end(attempt)
        return changed

    @act.register
    def _(self, action: plan.Reap) -> bool:
        self._ask_for_end(self.attempts[action.attempt])
        return False

    # --------------------------------------------------------------------------------------

    def _prepared_already(self, step: Step) -> bool:
        """An environment that is there already costs nothing, not even an attempt."""
        spec = specs.prepare_spec(self.run, step.uid, "")
        try:
            found = builder(self.run.builder).find_environment(spec)
        except AdapterError:
            return False
        if found is None:
            return False
        with transaction.atomic():
            transition(
                step,
                "cached",
                reason="EnvironmentReady",
                message="The environment was there already.",
                started_at=self.now,
                finished_at=self.now,
            )
            self._keep_environment(step, found)
        return True

    def _cached(self, step: Step) -> bool:
        """Reuse what the parent run left, or an equal step of this project."""
        key = specs.cache_key(self.run, step, self.steps)
        source = step.cached_from
        if source is None and key and self.run.use_cache:
            source = (
                Step.objects.filter(
                    run__project=self.run.project, cache_key=key, status="succeeded"
                )
                .exclude(pk=step.pk)
                .order_by("-id")
                .first()
            )
        if step.cache_key != key:
            edit(step, cache_key=key)
        if source is None or step.kind not in ("user", "build"):
            return False
        if step.kind == "build" and not source.result.get("image"):
            return False
        with transaction.atomic():
            transition(
                step,
                "cached",
                reason="Reused",
                message=f"Reused from run #{source.run.number}.",
                cached_from=source,
                output_key=source.output_key,
                output_digest=source.output_digest,
                result=source.result,
                started_at=self.now,
                finished_at=self.now,
            )
            self._copy_results(source, step)
        return True

    def _copy_results(self, source: Step, step: Step) -> None:
        Metric.objects.bulk_create(
            (
                Metric(run=self.run, step=step, name=m.name, value=m.value, step_index=m.step_index)
                for m in Metric.objects.filter(step=source).order_by("id")
            ),
            batch_size=METRIC_BATCH,
        )
        Artifact.objects.bulk_create(
            Artifact(run=self.run, step=step, path=a.path, key=a.key, size=a.size, sha256=a.sha256)
            for a in Artifact.objects.filter(step=source).order_by("id")
        )

    def _new_attempt(self, step: Step, why: str) -> None:
        number = 1 + max(
            (a.number for a in self.attempts.values() if a.step_id == step.pk), default=0
        )
        wanted = specs.resources_of(self.run, step)
        pool = self.run.executor if step.kind == "user" else self.run.builder
        with transaction.atomic():
            attempt = Attempt.objects.create(
                step=step,
                number=number,
                status=states.ATTEMPT.initial,
                status_reason="Queued",
                status_message=why,
                status_changed_at=self.now,
                deadline_at=self.now + QUEUE_WITHIN,
                pool=pool,
                cpu_m=wanted.cpu_m,
                memory_bytes=wanted.memory_bytes,
                gpu=wanted.gpu,
            )
            note(
                step,
                reason="Queued",
                message=why or "Waiting for capacity.",
                deadline_at=self.now + QUEUE_WITHIN,
                started_at=step.started_at or self.now,
            )
        attempt.step = step
        self.attempts[attempt.pk] = attempt
        self.pools_to_admit.add(pool)

    def _start(self, attempt: Attempt) -> Handle:
        step = attempt.step
        if step.kind == "prepare":
            spec = specs.prepare_spec(self.run, attempt.uid, attempt.log_key)
            return builder(self.run.builder).start_prepare(spec)
        if step.kind == "build":
            return builder(self.run.builder).start_package(
                specs.package_spec(self.run, attempt, self.steps)
            )
        return executor(self.run.executor).start(
            specs.attempt_spec(self.run, step, attempt, self.steps)
        )

    def _ask_for_end(self, attempt: Attempt) -> None:
        handle = Handle(**attempt.handle)
        try:
            if attempt.step.kind == "user":
                executor(self.run.executor).cancel(handle)
            else:
                builder(self.run.builder).cancel(handle)
        except AdapterError as error:
            note(attempt, reason=error.reason, message=error.message)

    def _end(
        self, attempt: Attempt, status: str, reason: str, message: str, seen: Observation | None
    ) -> None:
        exit_info = asdict(seen.exit) if seen is not None and seen.exit is not None else {}
        transition(
            attempt,
            status,
            reason=reason,
            message=message,
            exit=exit_info,
            usage=asdict(seen.usage) if seen is not None else {},
            started_at=(_time(seen.started_at) if seen else None) or attempt.started_at,
            finished_at=(_time(seen.finished_at) if seen else None) or self.now,
        )

    def _keep_environment(self, step: Step, result: PrepareResult) -> None:
        environment = asdict(result.environment)
        edit(
            step,
            output_digest=result.environment.key,
            result={
                "environment": environment,
                "packages": [asdict(package) for package in result.packages],
                "size_bytes": result.size_bytes,
            },
        )
        edit(self.run, environment=environment)
        if self.run.submission.lock is None:
            Submission.objects.filter(pk=self.run.submission_id, lock=None).update(lock=result.lock)
            self.run.submission.lock = result.lock

    def _keep_image(self, step: Step, image: ImageRef) -> None:
        manifest = self.run.submission.spec
        model = self.steps.get(manifest.serve.model or "") if manifest.serve else None
        snapshot = specs.snapshot(self.run)
        row, _ = Image.objects.get_or_create(
            project=self.run.project,
            digest=image.digest,
            defaults={
                "reference": image.reference,
                "local_only": image.local_only,
                "size": image.size_bytes,
                "layers": [asdict(layer) for layer in image.layers],
                "packages": [asdict(package) for package in image.packages],
                "dockerfile": image.dockerfile,
                "sbom_key": image.sbom_key,
                "provenance_key": image.provenance_key,
                "content": {
                    "environment": self.run.environment,
                    "snapshot": asdict(snapshot),
                    "model": asdict(specs.outputs(model)) if model else None,
                },
                "run": self.run,
            },
        )
        edit(
            step,
            output_digest=image.digest.removeprefix("sha256:"),
            result={"image": row.uid, "digest": image.digest, "size_bytes": image.size_bytes},
        )

    def _keep_outputs(self, step: Step, attempt: Attempt, found: Outputs) -> None:
        result = (
            {"rejected_metrics": list(found.rejected_metrics)} if found.rejected_metrics else {}
        )
        edit(
            step,
            output_key=attempt.output_key,
            output_digest=found.digest,
            result=result,
        )
        Artifact.objects.bulk_create(
            Artifact(
                run=self.run,
                step=step,
                path=file.path,
                key=f"{attempt.output_key}/{file.path}",
                size=file.size,
                sha256=file.sha256,
            )
            for file in found.files
        )
        counts: dict[str, int] = {}
        points = []
        for metric in found.metrics:
            index = metric["step"]
            if index is None:
                index = counts.get(metric["name"], 0)
            counts[metric["name"]] = max(counts.get(metric["name"], 0), index + 1)
            points.append(
                Metric(
                    run=self.run,
                    step=step,
                    name=metric["name"],
                    value=metric["value"],
                    step_index=index,
                )
            )
        Metric.objects.bulk_create(points, batch_size=METRIC_BATCH)

    def _step_goes(self, step: Step, to: str) -> None:
        if step.status == to:
            note(step, reason="Starting" if to == "starting" else "Running", message="")
        elif step.table.allows(step.status, to):
            transition(
                step,
                to,
                reason="Starting" if to == "starting" else "Running",
                deadline_at=self.now + RUN_WITHIN,
                started_at=step.started_at or self.now,
            )

    def _last_attempt(self, step: Step) -> Attempt | None:
        own = [a for a in self.attempts.values() if a.step_id == step.pk]
        return max(own, key=lambda a: a.number) if own else None

    def _timeout_s(self, step: Step) -> float:
        if step.kind == "prepare":
            return specs.PREPARE_TIMEOUT_S
        if step.kind == "build":
            return specs.PACKAGE_TIMEOUT_S
        return self.run.submission.spec.step(step.name).timeout_s + 30


def _time(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
