"""Reading: leaderboards, curves and comparisons. No writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Count, Max

from pipelines.models import Alias, Attempt, Metric, ModelVersion, Run, RunData, Score, Step
from pipelines.services import submissions
from pipelines.services.models import CHAMPION, final_metrics
from portal.core.errors import NotFound
from portal.projects.models import Project

MAX_ENTRIES = 500


def leaderboard(project: Project, metric: str, data_key: str | None) -> dict[str, Any]:
    """Ranked runs of one metric on one choice of data versions; ties go to the earlier run."""
    scores = Score.objects.filter(project=project, metric=metric)
    choices = list(
        scores.values("data_key")
        .annotate(entries=Count("id"), latest=Max("id"))
        .order_by("-latest")
    )
    if data_key is None:
        data_key = choices[0]["data_key"] if choices else ""
    order = ("-value", "id") if project.direction == "maximize" else ("value", "id")
    rows = list(
        scores.filter(data_key=data_key)
        .select_related("run__project__team", "run__submission", "run__parent")
        .order_by(*order)[:MAX_ENTRIES]
    )
    run_ids = [row.run_id for row in rows]
    versions = {
        version.run_id: version
        for version in ModelVersion.objects.filter(run__in=run_ids).select_related("image")
    }
    champion = (
        Alias.objects.filter(project=project, name=CHAMPION)
        .values_list("model_version_id", flat=True)
        .first()
    )
    spent = _cpu_seconds(run_ids)
    return {
        "metric": metric,
        "direction": project.direction,
        "data_key": data_key,
        "choices": [
            {
                "key": choice["data_key"],
                "entries": choice["entries"],
                "data": _data_of(project, metric, choice["data_key"]),
            }
            for choice in choices
        ],
        "entries": [
            {
                "rank": rank,
                "value": row.value,
                "run": row.run,
                "model_version": versions.get(row.run_id),
                "is_champion": row.run_id in versions and versions[row.run_id].pk == champion,
                "image_size": _image_size(versions.get(row.run_id)),
                "verified": row.run_id in versions and versions[row.run_id].verified,
                "cpu_s": spent.get(row.run_id, 0.0),
            }
            for rank, row in enumerate(rows, 1)
        ],
    }


def curves(run: Run, names: Sequence[str], max_points: int) -> list[dict[str, Any]]:
    """Each metric's points in order, thinned to `max_points` keeping minima and maxima."""
    rows = Metric.objects.filter(run=run).select_related("step").order_by("step_index", "id")
    if names:
        rows = rows.filter(name__in=names)
    found: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for name, step, index, value in rows.values_list("name", "step__name", "step_index", "value"):
        found[(name, step)].append((index, value))
    return [
        {
            "name": name,
            "source": step,
            "last": points[-1][1],
            "count": len(points),
            "points": [{"step": x, "value": y} for x, y in thin(points, max_points)],
        }
        for (name, step), points in sorted(found.items())
    ]


def thin(points: list[tuple[int, float]], most: int) -> list[tuple[int, float]]:
    """At most about `most` points: first, last, and each bucket's extremes in order. Pure."""
    if len(points) <= most or most < 4:
        return points
    buckets = (most - 2) // 2
    inner = points[1:-1]
    size = len(inner) / buckets
    kept = [points[0]]
    for i in range(buckets):
        bucket = inner[int(i * size) : int((i + 1) * size)]
        if bucket:
            low = min(bucket, key=lambda p: p[1])
            high = max(bucket, key=lambda p: p[1])
            kept += [low] if low == high else sorted({low, high})
    return [*kept, points[-1]]


def compare(runs: Sequence[Run]) -> dict[str, Any]:
    """Only what differs between runs: parameters, metrics, data, packages, files, manifest."""
    if len(runs) < 2:
        raise NotFound("Name at least two runs that you may see.", field="uid")
    return {
        "runs": runs,
        "params": differing({run.uid: run.params for run in runs}),
        "metrics": differing({run.uid: final_metrics(run) for run in runs}),
        "data": differing({run.uid: _refs(run) for run in runs}),
        "packages": differing({run.uid: _packages(run) for run in runs}),
        "files": differing({run.uid: _files(run) for run in runs}),
        "manifest": differing({run.uid: flat(run.submission.manifest) for run in runs}),
    }


def differing(values: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """{name: {uid: value or None}} for the names whose values are not all equal. Pure."""
    names = {name for each in values.values() for name in each}
    found = {}
    for name in sorted(names):
        row = {uid: each.get(name) for uid, each in values.items()}
        if any(value != next(iter(row.values())) for value in row.values()):
            found[name] = row
    return found


def flat(data: Any, path: str = "") -> dict[str, Any]:
    """Nested JSON as {"a.b[0]": value}. Pure."""
    if isinstance(data, Mapping) and data:
        return {
            k: v
            for name, inner in data.items()
            for k, v in flat(inner, f"{path}.{name}" if path else str(name)).items()
        }
    if isinstance(data, list) and data:
        return {
            k: v for i, inner in enumerate(data) for k, v in flat(inner, f"{path}[{i}]").items()
        }
    return {path: data}


def _data_of(project: Project, metric: str, data_key: str) -> dict[str, str]:
    run = (
        Score.objects.filter(project=project, metric=metric, data_key=data_key)
        .values_list("run_id", flat=True)
        .first()
    )
    rows = RunData.objects.filter(run_id=run or 0).select_related("version__dataset")
    return {row.slot: row.version.ref for row in rows}


def _cpu_seconds(run_ids: Sequence[int]) -> dict[int, float]:
    spent: dict[int, float] = defaultdict(float)
    rows = Attempt.objects.filter(step__run__in=run_ids).values_list("step__run_id", "usage")
    for run_id, usage in rows:
        spent[run_id] += (usage or {}).get("cpu_s", 0.0)
    return spent


def _image_size(version: ModelVersion | None) -> int | None:
    return version.image.size if version is not None and version.image else None


def _refs(run: Run) -> dict[str, str]:
    rows = run.data.select_related("version__dataset")
    return {row.slot: row.version.ref for row in rows}


def _packages(run: Run) -> dict[str, str]:
    step = Step.objects.filter(run=run, kind="prepare").first()
    packages = step.result.get("packages", []) if step else []
    return {package["name"]: package["version"] for package in packages}


def _files(run: Run) -> dict[str, str]:
    return {file["path"]: file["sha256"] for file in submissions.files(run.submission)}
