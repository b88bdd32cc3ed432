"""What the portal asks of a cluster, a row a kind: the Helm chart's ClusterRole and a check with
`KubeApi.may` are made of this. A test derives the same from the code's own calls.

Server-side apply needs `create` and `patch`. Project namespaces are made by the portal, so the
rights are a ClusterRole's.
"""

from __future__ import annotations

from portal.cloud import kube

APPLY = ("create", "patch")
EXECUTOR: dict[kube.Resource, tuple[str, ...]] = {
    kube.CONFIG_MAP: ("create", "get", "patch"),
    kube.EVENT: ("list",),
    kube.JOB: ("create", "delete", "get", "list"),
    kube.NAMESPACE: APPLY,
    kube.NETWORK_POLICY: APPLY,
    kube.POD: ("list",),
    kube.RESOURCE_QUOTA: APPLY,
    kube.SECRET: ("create", "delete", "patch"),
    kube.SERVICE_ACCOUNT: APPLY,
}
