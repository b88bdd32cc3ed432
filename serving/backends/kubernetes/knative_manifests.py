"""An endpoint as a Knative Service. Pure.

Source: Knative Serving v1 API (https://github.com/knative/specs/blob/main/specs/serving/knative-api-specification-1.0.md)
and the autoscaling annotations (https://knative.dev/docs/serving/autoscaling/).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from serving.backends.base import EndpointSpec, RevisionSpec
from serving.backends.kubernetes import names
from serving.backends.kubernetes.containers import pod_spec
from serving.backends.kubernetes.options import Options

Object = dict[str, Any]
AUTOSCALING = "autoscaling.knative.dev"
KPA = f"kpa.{AUTOSCALING}"
HPA = f"hpa.{AUTOSCALING}"
VISIBILITY = "networking.knative.dev/visibility"
MIN_SCALE = f"{AUTOSCALING}/min-scale"
RETENTION_MAX_S = 3600  # scale-to-zero-pod-retention-period is bounded to one hour


def newest(revisions: Collection[RevisionSpec]) -> RevisionSpec:
    """The one whose template the Service holds: uids are ULIDs, so the last by name."""
    return max(revisions, key=lambda revision: revision.uid)


def service(
    endpoint: EndpointSpec, template: RevisionSpec, present: Collection[str], options: Options
) -> Object:
    """The Service with `template` as its latest revision and traffic to the revisions whose
    objects exist (`present`, by object name) or are being made by this template."""
    name = names.service_name(endpoint)
    labels = names.endpoint_labels(endpoint)
    if not endpoint.public_route:
        labels[VISIBILITY] = "cluster-local"
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {names.GENERATION: str(endpoint.generation)},
        },
        "spec": {
            "template": _template(endpoint, template, options),
            "traffic": traffic(endpoint, template, present),
        },
    }


def traffic(
    endpoint: EndpointSpec, template: RevisionSpec, present: Collection[str]
) -> list[Object]:
    """Percents over revisions that exist, always totalling 100, and a tag for each revision, so
    that it stays routable by its own address.

    While a revision of the wanted split is still to be created, the split waits: everything goes
    where it can, in the proportions that are left.
    """
    service_name = names.service_name(endpoint)
    by_uid = {revision.uid: revision for revision in endpoint.revisions}
    able = {names.revision_name(service_name, template.uid), *present}
    shares: dict[str, int] = {}
    tags: dict[str, str] = {}
    for target in endpoint.traffic:
        if target.revision_uid not in by_uid:
            continue
        name = names.revision_name(service_name, target.revision_uid)
        if name in able:
            shares[name] = shares.get(name, 0) + target.percent
            if target.tag:
                tags[name] = target.tag
    for revision in endpoint.revisions:
        name = names.revision_name(service_name, revision.uid)
        if name in able and revision.keep_warm:
            shares.setdefault(name, 0)
            tags.setdefault(name, tag_of(revision))
    if sum(shares.values()) == 0:
        shares[names.revision_name(service_name, template.uid)] = 100
    total = sum(shares.values())
    percents = {name: share * 100 // total for name, share in shares.items()}
    largest = max(percents, key=lambda name: (percents[name], name))
    percents[largest] += 100 - sum(percents.values())
    return [
        {
            "revisionName": name,
            "latestRevision": False,
            "percent": percent,
            **({"tag": tags[name]} if name in tags else {}),
        }
        for name, percent in sorted(percents.items())
    ]


def tag_of(revision: RevisionSpec) -> str:
    return f"r{revision.uid[-names.SUFFIX :].lower()}"


def min_scale(revision: RevisionSpec) -> int:
    return max(revision.scale.min, revision.keep_warm)


def _template(endpoint: EndpointSpec, revision: RevisionSpec, options: Options) -> Object:
    name = names.revision_name(names.service_name(endpoint), revision.uid)
    return {
        "metadata": {
            "name": name,
            "labels": names.revision_labels(endpoint, revision),
            "annotations": {
                **_autoscaling(revision),
                names.DIGEST: revision.image.digest,
                "serving.knative.dev/progress-deadline": f"{_deadline(revision, options)}s",
                **({"sidecar.istio.io/inject": "true"} if options.istio else {}),
            },
        },
        "spec": {
            "containerConcurrency": 0,
            "timeoutSeconds": math.ceil(revision.timeout_s),
            "responseStartTimeoutSeconds": math.ceil(revision.timeout_s),
            **pod_spec(endpoint, revision, options, secret_name=name, knative=True),
        },
    }


def _deadline(revision: RevisionSpec, options: Options) -> int:
    return max(options.progress_deadline_s, math.ceil(revision.probe.startup_s))


def _autoscaling(revision: RevisionSpec) -> dict[str, str]:
    scale = revision.scale
    by_pod = scale.metric in ("cpu", "memory")
    minimum = max(1, min_scale(revision)) if by_pod else min_scale(revision)
    found = {
        f"{AUTOSCALING}/class": HPA if by_pod else KPA,
        f"{AUTOSCALING}/metric": scale.metric,
        f"{AUTOSCALING}/target": str(scale.target),
        MIN_SCALE: str(minimum),
        f"{AUTOSCALING}/max-scale": str(scale.max),
        f"{AUTOSCALING}/initial-scale": "1",
    }
    if by_pod:
        return found
    return {
        **found,
        f"{AUTOSCALING}/window": "60s",
        f"{AUTOSCALING}/panic-window-percentage": "10.0",
        f"{AUTOSCALING}/panic-threshold-percentage": "200.0",
        f"{AUTOSCALING}/activation-scale": "1",
        f"{AUTOSCALING}/scale-to-zero-pod-retention-period": (
            f"{min(RETENTION_MAX_S, math.ceil(scale.idle_s))}s"
        ),
    }
