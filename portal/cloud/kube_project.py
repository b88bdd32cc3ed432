"""A project's place on a cluster: its namespace and what stands in it before anything runs.

Both the executor and the serving backends put a project's objects there. `namespace` may hold
`{team}` and `{project}`. With `manage` False the operator makes these objects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from portal.cloud import kube

Object = dict[str, Any]
LABEL = "hekaton.io"
MANAGED_BY = {"app.kubernetes.io/managed-by": "hekatoncheir"}


@dataclass(frozen=True, kw_only=True)
class ResourceClass:
    """A named kind of machine. Its selector and tolerations are what make Cluster Autoscaler and
    Node Auto-Provisioning bring such a node."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    priority_class: str = ""
    gpu_resource: str = "nvidia.com/gpu"
    spot: bool = False


@dataclass(frozen=True, kw_only=True)
class Space:
    namespace: str = "hk-{team}-{project}"
    manage: bool = True
    service_account: str = "hekaton-run"
    quota: Mapping[str, str] = field(default_factory=dict)  # ResourceQuota spec.hard
    blocked_networks: tuple[str, ...] = ("169.254.169.254/32",)  # the cloud's metadata server
    namespace_labels: Mapping[str, str] = field(default_factory=dict)

    def name(self, team: str, project: str) -> str:
        return dns_label(self.namespace.format(team=team, project=project))


def dns_label(name: str, limit: int = 63) -> str:
    """`name` as a DNS label; a longer one keeps its beginning and gets a hash of the whole."""
    clean = name.lower()
    if len(clean) <= limit:
        return clean
    digest = hashlib.sha256(clean.encode()).hexdigest()[:8]
    return f"{clean[: limit - 9].rstrip('-')}-{digest}"


def owner_labels(team: str, project: str) -> dict[str, str]:
    return {
        **MANAGED_BY,
        f"{LABEL}/team": dns_label(team),
        f"{LABEL}/project": dns_label(project),
    }


def objects(space: Space, team: str, project: str) -> list[tuple[kube.Resource, Object]]:
    """Namespace, service account, network policy and quota of one project, in order. Pure.

    The policy is for attempts: nothing may connect to them, and they may not reach the blocked
    networks.
    """
    name = space.name(team, project)
    labels = owner_labels(team, project)

    def made(resource: kube.Resource, own: str, **rest: Any) -> tuple[kube.Resource, Object]:
        metadata: Object = {"name": own, "labels": labels}
        if resource.namespaced:
            metadata["namespace"] = name
        head = {"apiVersion": resource.api_version, "kind": resource.kind}
        return resource, {**head, "metadata": metadata, **rest}

    namespace = made(kube.NAMESPACE, name)
    namespace[1]["metadata"]["labels"] = {**labels, **space.namespace_labels}
    anywhere = {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(space.blocked_networks)}}
    wanted = [
        namespace,
        made(kube.SERVICE_ACCOUNT, space.service_account, automountServiceAccountToken=False),
        made(
            kube.NETWORK_POLICY,
            "hekaton-attempts",
            spec={
                "podSelector": {"matchLabels": {"app.kubernetes.io/component": "attempt"}},
                "policyTypes": ["Ingress", "Egress"],
                "egress": [{"to": [anywhere]}],
            },
        ),
    ]
    if space.quota:
        wanted.append(made(kube.RESOURCE_QUOTA, "hekaton", spec={"hard": dict(space.quota)}))
    return wanted


class Spaces:
    """Makes each project's space once a process. Thread-safe; repeats are harmless."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._made: set[str] = set()
        self._lock = Lock()

    def ensure(self, api: kube.KubeApi, team: str, project: str) -> str:
        """The namespace of the project, made if it must be."""
        name = self.space.name(team, project)
        with self._lock:
            if name in self._made or not self.space.manage:
                return name
        for resource, body in objects(self.space, team, project):
            api.apply(resource, name if resource.namespaced else None, body)
        with self._lock:
            self._made.add(name)
        return name

    def forget(self, name: str) -> None:
        """Make it again next time: it was found missing."""
        with self._lock:
            self._made.discard(name)


def read_space(values: dict[str, Any]) -> Space:
    """Take the keys of `Space` out of an options dictionary."""
    own = {key: values.pop(key) for key in list(values) if key in Space.__dataclass_fields__}
    if "blocked_networks" in own:
        own["blocked_networks"] = tuple(own["blocked_networks"])
    return Space(**own)


def read_classes(given: Mapping[str, Mapping[str, Any]]) -> dict[str, ResourceClass]:
    return {
        name: ResourceClass(**{**spec, "tolerations": tuple(spec.get("tolerations", ()))})
        for name, spec in given.items()
    }
