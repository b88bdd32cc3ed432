"""Reading: metrics of an endpoint, and what differs between revisions. No writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipelines.models import Image
from pipelines.services.queries import differing, flat
from serving import histogram
from serving.histogram import floor
from serving.models import Endpoint, MetricBucket, Revision

MAX_POINTS = 500


def metrics(endpoint: Endpoint, since: datetime, until: datetime, step_s: int) -> dict[str, Any]:
    """Buckets of `step_s` per revision with rates and percentiles, and totals over all.

    The step grows until there are at most 500 points.
    """
    span = max(1.0, (until - since).total_seconds())
    while span / step_s > MAX_POINTS:
        step_s *= 2
    rows = MetricBucket.objects.filter(endpoint=endpoint, at__gte=since, at__lte=until)
    names = dict(endpoint.revisions.values_list("pk", "number"))
    groups: dict[tuple[int, datetime], list[MetricBucket]] = defaultdict(list)
    for bucket in rows.order_by("at"):
        groups[(bucket.revision_id, floor(bucket.at, step_s))].append(bucket)
    series: dict[int, list[dict[str, Any]]] = defaultdict(list)
    whole: dict[str, int] = {}
    requests = errors = 0
    for (revision_id, at), buckets in sorted(groups.items(), key=lambda item: item[0][1]):
        point = _point(at, buckets, step_s)
        latency = point.pop("latency")
        series[revision_id].append(point)
        whole = histogram.add(whole, latency)
        requests += point["requests"]
        errors += point["errors"]
    return {
        "since": since,
        "until": until,
        "step_s": step_s,
        "totals": {
            "requests": requests,
            "errors": errors,
            "error_rate": errors / requests if requests else 0.0,
            **_percentiles(whole),
        },
        "series": [
            {"revision": names.get(revision_id, 0), "points": points}
            for revision_id, points in sorted(series.items())
        ],
    }


def diff(one: Revision, other: Revision) -> dict[str, Any]:
    """What differs between two revisions: configuration, variables, packages, model, image."""
    return {
        "from": one.number,
        "to": other.number,
        "image": differing(
            {"from": {"digest": one.image_digest}, "to": {"digest": other.image_digest}}
        ),
        "config": differing({"from": flat(one.serve), "to": flat(other.serve)}),
        "env": differing({"from": one.env, "to": other.env}),
        "secrets": differing({"from": _marks(one), "to": _marks(other)}),
        "packages": differing({"from": _packages(one), "to": _packages(other)}),
        "model": differing({"from": _model(one), "to": _model(other)}),
    }


def _point(at: datetime, buckets: list[MetricBucket], step_s: int) -> dict[str, Any]:
    latency: dict[str, int] = {}
    for bucket in buckets:
        latency = histogram.add(latency, bucket.latency)
    requests = sum(bucket.requests for bucket in buckets)
    return {
        "at": at,
        "requests": requests,
        "errors": sum(bucket.errors for bucket in buckets),
        "rps": requests / step_s,
        "in_flight": max(bucket.in_flight for bucket in buckets),
        "replicas": max(bucket.replicas for bucket in buckets),
        "cold_starts": sum(bucket.cold_starts for bucket in buckets),
        "latency": latency,
        **_percentiles(latency),
    }


def _percentiles(latency: Mapping[str, int]) -> dict[str, float | None]:
    return {
        name: histogram.quantile(latency, q)
        for name, q in (("p50_s", 0.5), ("p95_s", 0.95), ("p99_s", 0.99))
    }


def _marks(revision: Revision) -> dict[str, str]:
    """Secrets by name, told apart by their ciphertext's end; never their values."""
    return {name: token[-12:] for name, token in revision.secrets.items()}


def _packages(revision: Revision) -> dict[str, str]:
    image = Image.objects.filter(
        project=revision.endpoint.project, digest=revision.image_digest
    ).first()
    return {p["name"]: p["version"] for p in image.packages} if image else {}


def _model(revision: Revision) -> dict[str, Any]:
    return {"version": revision.model_version_number, "run": revision.run_number}
