"""From rows to the documents of backends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.executors.base import EnvironmentRef, Resources, Tree
from serving.backends.base import (
    EndpointSpec,
    ImageSpec,
    ProbeSpec,
    RevisionSpec,
    ScaleSpec,
    TrafficSpec,
)
from serving.models import Endpoint, Revision, Verification
from serving.services.keys import live_key_ids
from serving.traffic import Target


def endpoint_spec(
    endpoint: Endpoint,
    revisions: Sequence[Revision],
    targets: Sequence[Target],
    warm: Mapping[str, int],
) -> EndpointSpec:
    """`warm` is the floor of replicas of revisions without traffic, by uid."""
    return EndpointSpec(
        uid=endpoint.uid,
        team=endpoint.project.team.slug,
        project=endpoint.project.slug,
        project_uid=endpoint.project.uid,
        name=endpoint.slug,
        generation=endpoint.generation,
        revisions=tuple(_revision(r, warm.get(r.uid, 0)) for r in revisions),
        traffic=tuple(
            TrafficSpec(revision_uid=t.revision, percent=t.percent, tag=t.tag or None)
            for t in targets
        ),
        auth="public" if endpoint.auth == "public" else "key",
        live_key_ids=live_key_ids(endpoint),
    )


def verification_spec(verification: Verification) -> EndpointSpec:
    """One replica, no public route, named by the verification's uid."""
    revision = _revision_of(
        uid=verification.uid,
        name="verify",
        image=verification.image,
        serve={**verification.serve, "scale": {"min": 1, "max": 1}},
        env=verification.env,
        secrets=verification.secrets,
        log_key=log_key(verification),
        labels={"verification": verification.uid},
        keep_warm=1,
    )
    return EndpointSpec(
        uid=verification.uid,
        team=verification.project.team.slug,
        project=verification.project.slug,
        project_uid=verification.project.uid,
        name=f"verify-{verification.uid.lower()}"[:30],
        generation=1,
        revisions=(revision,),
        auth="key",
        public_route=False,
    )


def log_key(verification: Verification) -> str:
    return f"logs/verifications/{verification.uid}"


def image_spec(image: Mapping[str, Any]) -> ImageSpec:
    def tree(name: str) -> Tree | None:
        return Tree(**image[name]) if image.get(name) else None

    environment = image.get("environment")
    return ImageSpec(
        digest=image["digest"],
        reference=image["reference"],
        environment=EnvironmentRef(**environment) if environment else None,
        snapshot=tree("snapshot"),
        model=tree("model"),
    )


def _revision(revision: Revision, keep_warm: int) -> RevisionSpec:
    labels = {"run": str(revision.run_number or ""), "revision-name": revision.name}
    return _revision_of(
        uid=revision.uid,
        name=revision.name,
        image=revision.image,
        serve=revision.serve,
        env=revision.env,
        secrets=revision.secrets,
        log_key=revision.log_key,
        labels={k: v for k, v in labels.items() if v},
        keep_warm=keep_warm,
    )


def _revision_of(
    *,
    uid: str,
    name: str,
    image: Mapping[str, Any],
    serve: Mapping[str, Any],
    env: Mapping[str, str],
    secrets: Mapping[str, str],
    log_key: str,
    labels: Mapping[str, str],
    keep_warm: int,
) -> RevisionSpec:
    resources = serve.get("resources") or {}
    scale = serve.get("scale") or {}
    return RevisionSpec(
        uid=uid,
        name=name,
        image=image_spec(image),
        command=serve["run"],
        env=dict(env),
        secrets=dict(secrets),
        resources=Resources(**resources),
        probe=ProbeSpec(path=serve.get("health", "/"), startup_s=serve.get("startup_s", 120.0)),
        scale=ScaleSpec(
            min=scale.get("min", 0),
            max=scale.get("max", 4),
            metric=scale.get("metric", "concurrency"),
            target=scale.get("target", 16),
            idle_s=scale.get("idle_s", 300.0),
        ),
        timeout_s=serve.get("timeout_s", 60.0),
        keep_warm=keep_warm,
        log_key=log_key,
        labels=dict(labels),
    )
