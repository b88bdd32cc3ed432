"""Bringing one endpoint forward: observe, move the rollout, settle revisions, apply, write down.

Safe to call at any time from several processes: intent changes under the endpoint's row lock,
statuses by compare-and-swap, and `apply` is refused by the backend for an older generation.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from portal.core import clock, events, transitions
from portal.core.errors import AdapterError, TransientError
from portal.core.transitions import Stale, note, transition
from serving import conditions, histogram, rollouts, traffic
from serving.backends.base import EndpointObservation, RevisionObservation
from serving.backends.loader import backend
from serving.models import Endpoint, Revision, Rollout
from serving.reconcilers import specs, stats
from serving.services import endpoints

log = logging.getLogger(__name__)
MAX_ROUNDS = 6
UP = conditions.UP


def reconcile_endpoint(endpoint_id: int) -> bool:
    """Do whatever the endpoint needs now. Returns whether it is settled: nothing under way."""
    for _ in range(MAX_ROUNDS):
        endpoint = load(endpoint_id)
        if endpoint is None or endpoint.alive is None:
            return True
        try:
            if endpoint.deleting:
                return _delete(endpoint)
            if not _round(endpoint):
                break
        except Stale:
            log.debug("endpoint %s: someone else was first", endpoint.uid)
    fresh = load(endpoint_id)
    return fresh is None or _settled(fresh)


def load(endpoint_id: int) -> Endpoint | None:
    return (  # type: ignore[no-any-return]
        Endpoint.objects.filter(pk=endpoint_id).select_related("project__team").first()
    )


def _round(endpoint: Endpoint) -> bool:
    """One look and what follows from it; True when intent changed, so that another is due."""
    now = clock.now()
    observed = observe(endpoint)
    seen = {revision.uid: revision for revision in observed.revisions}
    rollout = endpoints.active_rollout(endpoint)
    changed = rollout is not None and _move(endpoint, rollout, observed, seen, now)
    if changed:
        return True
    targets = endpoints.current_targets(endpoint)
    revisions = list(endpoint.revisions.exclude(status__in=["retired", "failed"]))
    for revision in revisions:
        revision.endpoint = endpoint
    warm = _warm(endpoint, rollout, targets, revisions, now)
    wanted = [r for r in revisions if _wanted(r, rollout, targets, warm)]
    _settle_revisions(revisions, wanted, seen, targets, now)
    _apply(endpoint, wanted, targets, warm, observed)
    _write(endpoint, targets, revisions, observed, now)
    return False


def observe(endpoint: Endpoint) -> EndpointObservation:
    try:
        return backend(endpoint.backend).observe(endpoint.uid)
    except AdapterError as error:
        return EndpointObservation(uid=endpoint.uid, state="unknown", message=error.message)


def _move(
    endpoint: Endpoint,
    rollout: Rollout,
    observed: EndpointObservation,
    seen: dict[str, RevisionObservation],
    now: datetime,
) -> bool:
    """Carry out the rollout's next move. True when the split changed."""
    revision = rollout.revision
    found = seen.get(revision.uid)
    move = rollouts.next_move(
        rollouts.View(
            status=rollout.status,
            strategy=rollout.strategy,
            steps=tuple(rollout.steps),
            index=rollout.index,
            pause_s=rollout.pause_s,
            manual=rollout.manual,
            max_error_rate=rollout.max_error_rate,
            max_p95_s=rollout.max_p95_s,
            created_at=rollout.created_at,
            step_started_at=rollout.step_started_at,
            startup_s=revision.serve.get("startup_s", 120.0),
            revision_name=revision.name,
            revision_state=_state(observed, found),
            revision_reason=found.reason if found else "",
            revision_message=found.message if found else "",
            routed=observed.routed_generation >= endpoint.generation,
            sample=_sample(rollout, found),
        ),
        now,
    )
    if isinstance(move, rollouts.Wait):
        note(rollout, reason="Progressing", message=move.message)
        return False
    with transaction.atomic():
        endpoint = endpoints.lock(endpoint)
        if isinstance(move, rollouts.Shift):
            stable = [traffic.Target(*item) for item in rollout.previous]
            percent = rollout.steps[move.index]
            transitions.edit(
                rollout,
                index=move.index,
                step_started_at=now,
                status_message=move.message,
                baseline=_baseline(found),
            )
            endpoints.set_targets(endpoint, traffic.shift(stable, revision.uid, percent))
            events.append(
                **endpoint.scope(), noun="rollout", subject_uid=rollout.uid, kind="shifted",
                message=move.message, data={"percent": percent, "revision": revision.number},
            )  # fmt: skip
            return True
        if isinstance(move, rollouts.Complete):
            transition(
                rollout, "completed", reason="Completed", message=move.message, finished_at=now
            )
            return True
        assert isinstance(move, rollouts.Abort)
        transition(rollout, "aborted", reason=move.reason, message=move.message, finished_at=now)
        stable = [traffic.Target(*item) for item in rollout.previous]
        if any(target.percent for target in stable):
            endpoints.set_targets(endpoint, stable)
        elif rollout.index < 0:
            endpoints.bump(endpoint)
        if revision.status in ("pending", "starting"):
            revision.endpoint = endpoint
            transition(revision, "failed", reason=move.reason, message=move.message)
    return True


def _state(observed: EndpointObservation, found: RevisionObservation | None) -> str:
    if observed.state == "unknown":
        return "unknown"
    return found.state if found is not None else "starting"


def _baseline(found: RevisionObservation | None) -> dict[str, Any]:
    return asdict(found.stats) if found is not None else {}


def _sample(rollout: Rollout, found: RevisionObservation | None) -> rollouts.Sample:
    if found is None:
        return rollouts.Sample()
    before = rollout.baseline
    same = before and before.get("epoch") == found.stats.epoch
    requests = found.stats.requests - (before["requests"] if same else 0)
    errors = found.stats.errors - (before["errors"] if same else 0)
    buckets = histogram.delta(
        found.stats.latency_buckets, before["latency_buckets"] if same else {}
    )
    return rollouts.Sample(requests=max(0, requests), errors=max(0, errors), buckets=buckets)


def _warm(
    endpoint: Endpoint,
    rollout: Rollout | None,
    targets: Sequence[traffic.Target],
    revisions: Sequence[Revision],
    now: datetime,
) -> dict[str, int]:
    """Revisions that keep a replica though they have no traffic: the one being rolled out, and
    the previous one for a while, so that going back is instant."""
    warm: dict[str, int] = {}
    if rollout is not None and rollout.strategy != "rollback":
        warm[rollout.revision.uid] = 1
    keep = timedelta(seconds=settings.SERVING["KEEP_WARM_S"])
    serving = {t.revision for t in targets if t.percent > 0}
    left = [
        r for r in revisions
        if r.uid not in serving and r.last_served_at and now - r.last_served_at < keep
    ]  # fmt: skip
    if left:
        warm[max(left, key=lambda r: r.last_served_at).uid] = 1  # type: ignore[arg-type,return-value]
    return warm


def _wanted(
    revision: Revision,
    rollout: Rollout | None,
    targets: Sequence[traffic.Target],
    warm: dict[str, int],
) -> bool:
    routed = any(t.revision == revision.uid and (t.percent > 0 or t.tag) for t in targets)
    rolling = rollout is not None and rollout.revision_id == revision.pk
    return routed or rolling or revision.uid in warm


def _settle_revisions(
    revisions: Sequence[Revision],
    wanted: Sequence[Revision],
    seen: dict[str, RevisionObservation],
    targets: Sequence[traffic.Target],
    now: datetime,
) -> None:
    """Each revision's status from what is wanted and what is seen."""
    keep = {r.pk for r in wanted}
    serving = {t.revision for t in targets if t.percent > 0}
    for revision in revisions:
        found = seen.get(revision.uid)
        if revision.uid in serving and (
            revision.last_served_at is None or now - revision.last_served_at > timedelta(seconds=10)
        ):
            Revision.objects.filter(pk=revision.pk).update(last_served_at=now)
        if revision.pk not in keep:
            _leave(revision, found)
            continue
        if revision.status in ("pending", "draining"):
            transition(
                revision, "starting", reason="Starting", message="Its replicas are starting."
            )
        if found is None:
            continue
        if found.state in UP and revision.status == "starting":
            transition(revision, "ready", reason="Ready", message=found.message)
        elif found.message or found.reason:
            note(revision, reason=found.reason or revision.status_reason, message=found.message)


def _leave(revision: Revision, found: RevisionObservation | None) -> None:
    if revision.status in ("ready", "starting"):
        transition(revision, "draining", reason="Draining", message="It finishes its requests.")
    elif revision.status == "pending":
        transition(revision, "retired", reason="Retired", message="It never got traffic.")
    elif revision.status == "draining" and found is None:
        transition(revision, "retired", reason="Retired", message="It can be brought back.")


def _apply(
    endpoint: Endpoint,
    wanted: Sequence[Revision],
    targets: Sequence[traffic.Target],
    warm: dict[str, int],
    observed: EndpointObservation,
) -> None:
    """Tell the backend where it differs: another generation, or other revisions than wanted."""
    spec = specs.endpoint_spec(endpoint, wanted, targets, warm)
    fingerprint = _fingerprint(spec)
    held = endpoint.observation.get("applied", "")
    have = {revision.uid for revision in observed.revisions}
    missing = {r.uid for r in wanted} - have
    if (
        observed.state == "present"
        and observed.generation == endpoint.generation
        and held == fingerprint
        and not missing
    ):
        return
    if not wanted and observed.state == "absent":
        return
    if (
        observed.state == "present"
        and observed.generation >= endpoint.generation
        and (held != fingerprint)
    ):
        with transaction.atomic():
            endpoints.bump(endpoint)
        spec = specs.endpoint_spec(endpoint, wanted, targets, warm)
    try:
        backend(endpoint.backend).apply(spec)
    except TransientError as error:
        log.info("endpoint %s cannot be applied now: %s", endpoint.uid, error)
        return
    endpoint.observation = {**endpoint.observation, "applied": _fingerprint(spec)}
    Endpoint.objects.filter(pk=endpoint.pk).update(observation=endpoint.observation)


def _fingerprint(spec: Any) -> str:
    """What was applied, but for the generation."""
    import hashlib
    import json

    data = asdict(spec)
    data.pop("generation")
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=list).encode()).hexdigest()[:32]


def _write(
    endpoint: Endpoint,
    targets: Sequence[traffic.Target],
    revisions: Sequence[Revision],
    observed: EndpointObservation,
    now: datetime,
) -> None:
    """Conditions and the last observation, where they differ; a hint when conditions changed."""
    error_rate = stats.recent_error_rate(endpoint, now)
    derived = [
        condition.to_dict()
        for condition in conditions.derive(
            generation=endpoint.generation,
            targets=targets,
            names={r.uid: r.name for r in revisions},
            observed=observed,
            error_rate=error_rate,
        )
    ]
    url = (
        observed.url
        or endpoint.url
        or backend(endpoint.backend).url(specs.endpoint_spec(endpoint, [], [], {}))
        or ""
    )
    shown = {
        "applied": endpoint.observation.get("applied", ""),
        "state": observed.state,
        "revisions": [_shown(revision) for revision in observed.revisions],
    }
    changed = derived != endpoint.conditions
    if (
        not changed
        and shown == endpoint.observation
        and url == endpoint.url
        and observed.generation == endpoint.observed_generation
        and observed.routed_generation == endpoint.routed_generation
    ):
        return
    with transaction.atomic():
        Endpoint.objects.filter(pk=endpoint.pk).update(
            conditions=derived,
            observation=shown,
            url=url,
            observed_generation=observed.generation,
            routed_generation=observed.routed_generation,
        )
        if changed:
            before = {c["type"]: c["status"] for c in endpoint.conditions}
            after = {c["type"]: c for c in derived}
            if before.get("Ready") != after["Ready"]["status"]:
                events.append(
                    **endpoint.scope(), noun="endpoint", subject_uid=endpoint.uid, kind="condition",
                    reason=after["Ready"]["reason"], message=after["Ready"]["message"],
                    data={"Ready": after["Ready"]["status"]},
                )  # fmt: skip
        events.hint(**endpoint.scope(), subject_uid=endpoint.uid, subject_version=endpoint.version)


def _shown(revision: RevisionObservation) -> dict[str, Any]:
    data = asdict(revision)
    data.pop("stats")
    data.pop("last_log")
    return data


def _delete(endpoint: Endpoint) -> bool:
    """Drive the deletion; True once it is complete."""
    try:
        held = backend(endpoint.backend)
        held.delete(endpoint.uid)
        observed = held.observe(endpoint.uid)
    except AdapterError as error:
        log.info("endpoint %s cannot be deleted now: %s", endpoint.uid, error)
        return False
    if observed.state != "absent":
        return False
    with transaction.atomic():
        transitions.edit(endpoint, alive=None)
        for revision in endpoint.revisions.exclude(status__in=["retired", "failed"]):
            revision.endpoint = endpoint
            to = "retired" if revision.status in ("pending", "draining", "starting") else "draining"
            transition(revision, to, reason="EndpointDeleted")
        events.append(**endpoint.scope(), noun="endpoint", subject_uid=endpoint.uid, kind="deleted")
    return True


def _settled(endpoint: Endpoint) -> bool:
    under_way = endpoints.active_rollout(endpoint) is not None
    moving = endpoint.revisions.filter(status__in=["pending", "starting", "draining"]).exists()
    return not (under_way or moving or endpoint.deleting) and (
        endpoint.routed_generation >= endpoint.generation or not endpoint.targets.exists()
    )
