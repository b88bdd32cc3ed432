"""Publishing model versions, ranking them, and the champion."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from pipelines import gate, states
from pipelines.models import Alias, Image, Metric, ModelVersion, Promotion, Run, Score
from pipelines.signals import champion_changed
from portal.accounts import audit
from portal.accounts.principals import Principal
from portal.core import events, transitions
from portal.projects.models import Project
from portal.projects.services.projects import next_number

CHAMPION = "champion"


def final_metrics(run: Run) -> dict[str, float]:
    """The last value of each metric: highest step, later written on ties."""
    rows = Metric.objects.filter(run=run).order_by("step_index", "id")
    return dict(rows.values_list("name", "value"))


def data_refs(run: Run) -> dict[str, str]:
    rows = run.data.select_related("version__dataset")
    return {row.slot: row.version.ref for row in rows}


def champion(project: Project) -> ModelVersion | None:
    alias = (
        Alias.objects.filter(project=project, name=CHAMPION)
        .select_related("model_version__run", "model_version__image")
        .first()
    )
    return alias.model_version if alias else None


def champion_for(run: Run, metric: str) -> gate.Champion | None:
    """The champion as the gate compares with it: on the same data where it has such a score."""
    reigning = champion(run.project)
    if reigning is None:
        return None
    same = (
        Score.objects.filter(
            run__submission=reigning.run.submission,
            project=run.project,
            metric=metric,
            data_key=run.data_key,
        )
        .exclude(run=run)
        .order_by("-id")
        .first()
    )
    if same is not None:
        return gate.Champion(reigning.number, reigning.run.number, same.value, True)
    value = reigning.metrics.get(metric)
    same_data = reigning.data_key == run.data_key
    return gate.Champion(reigning.number, reigning.run.number, value, same_data)


def decide_gate(run: Run) -> gate.Decision:
    """The gate's decision on what the run has measured."""
    manifest = run.submission.spec
    assert manifest.gate is not None
    return gate.decide(
        manifest.gate,
        final_metrics(run),
        direction=run.project.direction,
        data=data_refs(run),
        champion=champion_for(run, manifest.gate.metric),
    )


def publish(run: Run) -> ModelVersion:
    """The run's model version and score; at most one a run, however often this is called."""
    found = ModelVersion.objects.filter(run=run).first()
    if found is not None:
        return found  # type: ignore[no-any-return]
    metrics = final_metrics(run)
    image = _image_of(run)
    steps = {step.name: step for step in run.steps.all()}
    decision = steps["gate"].result if "gate" in steps else {}
    try:
        with transaction.atomic():
            _adopt_metric(run)
            version = ModelVersion.objects.create(
                project=run.project,
                number=next_number(run.project, "last_model_version"),
                run=run,
                image=image,
                metrics=metrics,
                data=data_refs(run),
                data_key=run.data_key,
                gate=decision,
                verified="verify" in steps and steps["verify"].status in states.STEP_DONE,
            )
            Score.objects.bulk_create(
                Score(project=run.project, run=run, metric=name, value=value, data_key=run.data_key)
                for name, value in metrics.items()
            )
            events.append(
                **{**run.event_scope(), "topic": f"project:{run.project.uid}"},
                noun="model_version",
                subject_uid=version.uid,
                kind="published",
                data={"number": version.number, "run": run.number},
            )
            _maybe_promote(run, version)
    except IntegrityError:
        return ModelVersion.objects.get(run=run)
    return version


def promote(
    *,
    principal: Principal,
    project: Project,
    version: ModelVersion,
    reason: str,
    evidence: dict[str, Any] | None = None,
) -> Promotion | None:
    """Make `version` the champion, with one evidence record. None where it is already."""
    with transaction.atomic():
        alias = Alias.objects.select_for_update().filter(project=project, name=CHAMPION).first()
        previous = alias.model_version if alias else None
        if previous is not None and previous.pk == version.pk:
            return None
        if alias is None:
            Alias.objects.create(
                project=project,
                name=CHAMPION,
                model_version=version,
                reason=reason,
                actor=principal.name,
            )
        else:
            transitions.edit(alias, model_version=version, reason=reason, actor=principal.name)
        promotion = Promotion.objects.create(
            project=project,
            model_version=version,
            previous=previous,
            reason=reason,
            actor=principal.name,
            evidence={**_evidence(version), **(evidence or {})},
        )
        audit.record(
            principal,
            "champion.promote",
            noun="model_version",
            subject_uid=version.uid,
            subject=f"{project.path} v{version.number}",
            before={"model_version": previous.number if previous else None},
            after={"model_version": version.number, "reason": reason},
            **project.scope,
        )
        events.append(
            topic=f"project:{project.uid}",
            noun="champion",
            subject_uid=version.uid,
            kind="promoted",
            message=reason,
            actor=principal.name,
            data={"number": version.number},
            **project.scope,
        )
        transaction.on_commit(
            lambda: champion_changed.send_robust(
                sender=None, project_id=project.pk, model_version_id=version.pk
            )
        )
    return promotion  # type: ignore[no-any-return]


def _maybe_promote(run: Run, version: ModelVersion) -> None:
    """In automatic mode the better one reigns: by the project's metric on the same data."""
    project = run.project
    if project.champion_mode != "automatic" or not project.metric:
        return
    value = version.metrics.get(project.metric)
    reigning = champion(project)
    if value is None:
        return
    if reigning is None:
        reason = "The first model of this project."
    else:
        against = champion_for(run, project.metric)
        assert against is not None
        retrained = run.cause.get("kind") == "data"
        if against.value is None or not against.same_data:
            if not retrained:
                return
            reason = f"The champion, trained again on {', '.join(version.data.values())}."
        elif gate.better(value, against.value, project.direction):
            reason = f"{project.metric} {value:g} beats {against.value:g} of v{reigning.number}."
        else:
            return
    promote(principal=Principal(system=True), project=project, version=version, reason=reason)


def _adopt_metric(run: Run) -> None:
    """A project without a metric takes its first gate's."""
    rule = run.submission.spec.gate
    if run.project.metric or rule is None:
        return
    lowers = rule.direction == "minimize" or (rule.max is not None and rule.min is None)
    direction = "minimize" if lowers else "maximize"
    Project.objects.filter(pk=run.project.pk, metric="").update(
        metric=rule.metric, direction=direction
    )
    run.project.metric, run.project.direction = rule.metric, direction


def _image_of(run: Run) -> Image | None:
    build = next((s for s in run.steps.all() if s.kind == "build"), None)
    uid = build.result.get("image") if build else None
    return Image.objects.filter(project=run.project, uid=uid).first() if uid else None


def _evidence(version: ModelVersion) -> dict[str, Any]:
    run = version.run
    return {
        "metrics": version.metrics,
        "data": version.data,
        "gate": version.gate,
        "verified": version.verified,
        "image": version.image.digest if version.image else None,
        "code": run.submission.digest,
        "run": run.number,
    }
