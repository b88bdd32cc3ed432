"""Names and labels of an endpoint's objects. Pure.

A revision's object is named `<service>-<last 10 of its uid>`: Knative wants the service's name in
front, and the uid makes it ours and unique.
"""

from __future__ import annotations

from portal.cloud.kube_project import LABEL, dns_label, owner_labels
from serving.backends.base import EndpointSpec, RevisionSpec

ENDPOINT = f"{LABEL}/endpoint"
REVISION = f"{LABEL}/revision"
GENERATION = f"{LABEL}/generation"
DIGEST = f"{LABEL}/image-digest"
SUFFIX = 10


def service_name(spec: EndpointSpec) -> str:
    """At most 52 characters, so that a revision's name is a DNS label too."""
    name = spec.name if spec.public_route else f"verify-{spec.uid}"
    return dns_label(name, 63 - SUFFIX - 1)


def revision_name(service: str, uid: str) -> str:
    return f"{service}-{uid[-SUFFIX:].lower()}"


def endpoint_labels(spec: EndpointSpec) -> dict[str, str]:
    return {
        **owner_labels(spec.team, spec.project),
        "app.kubernetes.io/component": "endpoint" if spec.public_route else "verification",
        ENDPOINT: spec.uid.lower(),
    }


def revision_labels(spec: EndpointSpec, revision: RevisionSpec) -> dict[str, str]:
    own = {f"{LABEL}/{name}": dns_label(value) for name, value in revision.labels.items()}
    return {**own, **endpoint_labels(spec), REVISION: revision.uid.lower()}
