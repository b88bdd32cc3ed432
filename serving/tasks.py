"""Thin Celery entry points, and the sweep that needs none of them."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import shared_task
from django.db.models import F, Q

from pipelines import tasks as pipeline_tasks
from pipelines.models import Step
from portal.core import clock, wakes
from portal.core.errors import AdapterError
from serving.backends.loader import backend
from serving.models import Endpoint, Rollout, Verification
from serving.reconcilers import stats
from serving.reconcilers.endpoint import observe, reconcile_endpoint
from serving.reconcilers.verification import reconcile_verification
from serving.services import following
from serving.states import ROLLOUT, VERIFICATION

log = logging.getLogger(__name__)
STATS_EVERY_S = 10.0
FULL_EVERY_S = 30.0
ORPHANS_EVERY_S = 60.0
ROLL_UP_EVERY_S = 300.0
_last: dict[str, float] = {}


@shared_task(name="serving.reconcile_endpoint")
def reconcile(endpoint_id: int) -> None:
    """Bring one endpoint forward, and the deploy step that waits for it."""
    reconcile_endpoint(endpoint_id)
    _tell_steps(Rollout.objects.filter(endpoint_id=endpoint_id))


@shared_task(name="serving.reconcile_verification")
def verify(verification_id: int) -> None:
    reconcile_verification(verification_id)
    _tell_steps(Verification.objects.filter(pk=verification_id))


def wake_endpoint(endpoint_id: int) -> None:
    wakes.wake(reconcile, endpoint_id)


def wake_verification(verification_id: int) -> None:
    wakes.wake(verify, verification_id)


def node_event(kind: str, uid: str, state: str) -> None:
    """The node says that an endpoint or verification changed: look at it now."""
    if kind != "endpoint":
        return
    endpoint = Endpoint.objects.filter(uid=uid, alive=True).values_list("pk", flat=True).first()
    if endpoint is not None:
        reconcile(endpoint)
        return
    row = (
        Verification.objects.filter(uid=uid, status__in=VERIFICATION.active)
        .values_list("pk", flat=True)
        .first()
    )
    if row is not None:
        wakes.send(verify, row)


def sweep() -> None:
    """Everything unfinished, then what is due now and then."""
    for pk in Verification.objects.filter(status__in=VERIFICATION.active).values_list(
        "pk", flat=True
    ):
        _guarded(verify, pk)
    following.follow_champions()
    due = Endpoint.objects.filter(alive=True)
    if not _due("full", FULL_EVERY_S):
        due = due.filter(
            Q(deleting=True)
            | Q(rollouts__status__in=ROLLOUT.active)
            | Q(revisions__status__in=["pending", "starting", "draining"])
            | Q(routed_generation__lt=F("generation"))
        ).distinct()
    for pk in due.values_list("pk", flat=True):
        _guarded(reconcile, pk)
    if _due("stats", STATS_EVERY_S):
        _collect_stats()
    if _due("orphans", ORPHANS_EVERY_S):
        _remove_orphans()
    if _due("roll_up", ROLL_UP_EVERY_S):
        stats.roll_up(clock.now())


def _guarded(task: Any, pk: int) -> None:
    try:
        task(pk)
    except Exception:
        log.exception("%s %s cannot be looked at now", task.name, pk)


def _tell_steps(rows: Any) -> None:
    """Wake the runs whose verify or deploy step has just settled."""
    uids = list(rows.exclude(step_uid=None).values_list("step_uid", flat=True))
    waiting = Step.objects.filter(uid__in=uids, status__in=["running", "cancelling"])
    for run_id in waiting.values_list("run_id", flat=True).distinct():
        wakes.send(pipeline_tasks.reconcile, run_id)


def _collect_stats() -> None:
    now = clock.now()
    for endpoint in Endpoint.objects.filter(alive=True, targets__isnull=False).distinct():
        observed = observe(endpoint)
        if observed.state == "present":
            stats.collect(endpoint, observed, now)


def _remove_orphans() -> None:
    """What the backend holds and nobody wants: left by a crash between two writes, or by a
    database that was restored from an older backup (then it is adopted, not removed)."""
    from django.conf import settings

    for name in settings.SERVING["BACKENDS"]:
        try:
            held = backend(name)
            uids = list(held.held())
        except AdapterError:
            continue
        known = set(Endpoint.objects.filter(uid__in=uids, alive=True).values_list("uid", flat=True))
        known |= set(
            Verification.objects.filter(uid__in=uids, status__in=VERIFICATION.active).values_list(
                "uid", flat=True
            )
        )
        ended = set(Endpoint.objects.filter(uid__in=uids, alive=None).values_list("uid", flat=True))
        ended |= set(
            Verification.objects.filter(uid__in=uids, status__in=VERIFICATION.terminal).values_list(
                "uid", flat=True
            )
        )
        for uid in set(uids) - known:
            if uid in ended:
                try:
                    held.delete(uid)
                except AdapterError as error:
                    log.info("orphan %s cannot be removed now: %s", uid, error)
            else:
                log.warning("backend %s holds %s, which this database does not know", name, uid)


def _due(name: str, every_s: float) -> bool:
    now = time.monotonic()
    if now - _last.get(name, -1e9) < every_s:
        return False
    _last[name] = now
    return True
