"""Thin Celery entry points, and the sweep that needs none of them."""

from __future__ import annotations

import logging
from datetime import timedelta

from celery import shared_task
from django.db.models import Q

from pipelines.builders.loader import builder
from pipelines.executors.base import Handle
from pipelines.executors.loader import executor
from pipelines.models import Attempt, DatasetVersion, Run
from pipelines.reconcilers.run import reconcile_run
from pipelines.services import triggers
from pipelines.states import ATTEMPT, ATTEMPT_OUTSIDE, RUN
from portal.core import clock, wakes
from portal.core.errors import AdapterError

log = logging.getLogger(__name__)
LOOK_AGAIN = timedelta(seconds=5)
FORGET_AFTER = timedelta(minutes=10)
FORGET_BATCH = 50
MISSED_DATA = timedelta(hours=1)


@shared_task(name="pipelines.reconcile_run")
def reconcile(run_id: int) -> None:
    """Bring one run forward, and wake those that it made room for."""
    for other in reconcile_run(run_id):
        wakes.send(reconcile, other)


def wake_run(run_id: int) -> None:
    """Have somebody look at a run after the current transaction; best effort."""
    wakes.wake(reconcile, run_id)


def node_event(kind: str, uid: str, state: str) -> None:
    """The node says that something ended: look at its run now, in this process."""
    if kind != "attempt":
        return
    run_id = (
        Attempt.objects.filter(uid=uid, status__in=ATTEMPT_OUTSIDE)
        .values_list("step__run_id", flat=True)
        .first()
    )
    if run_id is not None:
        for other in reconcile_run(run_id):
            wakes.send(reconcile, other)


def sweep() -> None:
    """Look at every unfinished run, without a broker; clean up behind finished attempts."""
    for run_id in Run.objects.filter(status__in=RUN.active).values_list("id", flat=True):
        waiting = [run_id]
        while waiting:
            one = waiting.pop()
            try:
                waiting += reconcile_run(one)
            except Exception:
                log.exception("run %s cannot be reconciled now", one)
    _missed_data()
    _forget()


def _missed_data() -> None:
    """Data versions whose firing was lost between commit and wake."""
    recent = DatasetVersion.objects.filter(
        created_at__gt=clock.now() - MISSED_DATA, created_at__lt=clock.now() - LOOK_AGAIN
    ).filter(Q(dataset__project__team__projects__retrain_on_data=True))
    for version in recent.exclude(firings__isnull=False).distinct():
        for run in triggers.fire_for(version):
            reconcile_run(run.pk)


def _forget() -> None:
    """Free what executors keep of attempts that ended a while ago."""
    rows = Attempt.objects.filter(
        forgotten=False,
        status__in=ATTEMPT.terminal,
        finished_at__lt=clock.now() - FORGET_AFTER,
    ).select_related("step__run")[:FORGET_BATCH]
    for attempt in rows:
        try:
            if attempt.handle:
                run = attempt.step.run
                handle = Handle(**attempt.handle)
                if attempt.step.kind == "user":
                    executor(run.executor).forget(handle)
                else:
                    builder(run.builder).forget(handle)
        except AdapterError as error:
            log.info("attempt %s cannot be forgotten yet: %s", attempt.uid, error)
            continue
        Attempt.objects.filter(pk=attempt.pk).update(forgotten=True)
