"""Counters into buckets: what came since the last look, rolled up as it ages."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Sum

from serving import histogram
from serving.backends.base import EndpointObservation, RevisionObservation
from serving.histogram import floor
from serving.models import Endpoint, MetricBucket, Revision, ScaleDecision, StatsMark

FINE_S, COARSE_S = 10, 300
FINE_KEPT, COARSE_KEPT = timedelta(hours=6), timedelta(days=30)
DECISIONS_KEPT = timedelta(days=7)
RECENT = timedelta(minutes=5)


def collect(endpoint: Endpoint, observed: EndpointObservation, now: datetime) -> None:
    """Write what every observed revision did since it was last looked at."""
    rows = {
        r.uid: r for r in endpoint.revisions.filter(uid__in=[o.uid for o in observed.revisions])
    }
    for found in observed.revisions:
        revision = rows.get(found.uid)
        if revision is not None:
            _collect(endpoint, revision, found, now)


def _collect(
    endpoint: Endpoint, revision: Revision, found: RevisionObservation, now: datetime
) -> None:
    stats = found.stats
    mark = StatsMark.objects.filter(revision=revision).first()
    fresh = mark is None or mark.epoch != stats.epoch or stats.requests < mark.requests
    requests = stats.requests - (0 if fresh or mark is None else mark.requests)
    errors = stats.errors - (0 if fresh or mark is None else mark.errors)
    cold = stats.cold_starts - (0 if fresh or mark is None else mark.cold_starts)
    latency = histogram.delta(stats.latency_buckets, {} if fresh or mark is None else mark.latency)
    ready = sum(1 for replica in found.replicas if replica.state == "ready")
    with transaction.atomic():
        StatsMark.objects.update_or_create(
            revision=revision,
            defaults={
                "at": now,
                "epoch": stats.epoch,
                "requests": stats.requests,
                "errors": stats.errors,
                "latency": dict(stats.latency_buckets),
                "cold_starts": stats.cold_starts,
            },
        )
        if requests or ready or stats.in_flight or cold:
            at = floor(now, FINE_S)
            bucket, _ = MetricBucket.objects.get_or_create(
                endpoint=endpoint, revision=revision, at=at, width_s=FINE_S
            )
            bucket.requests += max(0, requests)
            bucket.errors += max(0, errors)
            bucket.latency = histogram.add(bucket.latency, latency) if requests else bucket.latency
            bucket.in_flight = max(bucket.in_flight, stats.in_flight)
            bucket.replicas = ready
            bucket.cold_starts += max(0, cold)
            bucket.save()
        _decision(endpoint, revision, found)


def _decision(endpoint: Endpoint, revision: Revision, found: RevisionObservation) -> None:
    decision = found.decision
    if decision is None:
        return
    last = ScaleDecision.objects.filter(revision=revision).order_by("-at").first()
    if last is not None and (
        last.message == decision.message or last.at.timestamp() >= decision.at
    ):
        return
    at = datetime.fromtimestamp(decision.at, tz=endpoint.created_at.tzinfo)
    ScaleDecision.objects.get_or_create(
        revision=revision,
        at=at,
        defaults={
            "endpoint": endpoint,
            "wanted": decision.wanted,
            "observed": decision.observed,
            "target": decision.target,
            "window": decision.window,
            "bound": decision.bound,
            "message": decision.message,
        },
    )


def recent_error_rate(endpoint: Endpoint, now: datetime) -> float | None:
    """Errors over requests of the last five minutes; None without at least 20 requests."""
    found = MetricBucket.objects.filter(
        endpoint=endpoint, width_s=FINE_S, at__gte=now - RECENT
    ).aggregate(requests=Sum("requests"), errors=Sum("errors"))
    if (found["requests"] or 0) < 20:
        return None
    return float(found["errors"] or 0) / float(found["requests"])


def roll_up(now: datetime) -> None:
    """Fine buckets of the past become coarse ones; what is too old goes."""
    old = MetricBucket.objects.filter(width_s=FINE_S, at__lt=floor(now - FINE_KEPT, COARSE_S))
    groups: dict[tuple[int, datetime], list[MetricBucket]] = defaultdict(list)
    for bucket in old.order_by("at")[:5000]:
        groups[(bucket.revision_id, floor(bucket.at, COARSE_S))].append(bucket)
    for (revision_id, at), buckets in groups.items():
        with transaction.atomic():
            whole, _ = MetricBucket.objects.get_or_create(
                endpoint_id=buckets[0].endpoint_id,
                revision_id=revision_id,
                at=at,
                width_s=COARSE_S,
            )
            for bucket in buckets:
                whole.requests += bucket.requests
                whole.errors += bucket.errors
                whole.latency = histogram.add(whole.latency, bucket.latency)
                whole.in_flight = max(whole.in_flight, bucket.in_flight)
                whole.replicas = max(whole.replicas, bucket.replicas)
                whole.cold_starts += bucket.cold_starts
            whole.save()
            MetricBucket.objects.filter(pk__in=[b.pk for b in buckets]).delete()
    MetricBucket.objects.filter(width_s=COARSE_S, at__lt=now - COARSE_KEPT).delete()
    ScaleDecision.objects.filter(at__lt=now - DECISIONS_KEPT).delete()
