"""A small, typed door to a Kubernetes API server.

It takes configuration and credentials from the official client (kubeconfig with exec plugins,
or the pod's service account, tokens refreshed) and speaks plain JSON: objects in and out are
the dictionaries of the API reference. Every request has a timeout; reads, applies and deletes
are idempotent and are tried again on connection errors, 429 and 5xx. Writes are always sent
with strict field validation, because the server drops unknown fields silently otherwise.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/ (server-side apply, watch,
field validation, chunked lists).
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

from portal.core.errors import PermanentError, TransientError

Object = dict[str, Any]
RETRYABLE = frozenset({429, 500, 502, 503, 504})
ATTEMPTS = 4


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Which cluster, and as whom. With neither kubeconfig nor `in_cluster`, the usual rules
    apply: $KUBECONFIG, then ~/.kube/config."""

    kubeconfig: str = ""
    context: str = ""
    in_cluster: bool = False
    timeout_s: float = 10.0
    field_manager: str = "hekatoncheir"


class NotThere(PermanentError):
    """404: no such object (or namespace, or kind)."""


class AlreadyThere(PermanentError):
    """409 on create: the name is taken."""


class Outdated(TransientError):
    """409 on update, or 410 on watch: look again from the start."""


@dataclass(frozen=True)
class Resource:
    """One kind of object: `path()` is its REST path."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if self.namespaced and namespace is not None:
            base += f"/namespaces/{quote(namespace, safe='')}"
        base += f"/{self.plural}"
        return f"{base}/{quote(name, safe='')}" if name else base


NAMESPACE = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODE = Resource("", "v1", "nodes", "Node", namespaced=False)
POD = Resource("", "v1", "pods", "Pod")
SECRET = Resource("", "v1", "secrets", "Secret")
CONFIG_MAP = Resource("", "v1", "configmaps", "ConfigMap")
SERVICE = Resource("", "v1", "services", "Service")
SERVICE_ACCOUNT = Resource("", "v1", "serviceaccounts", "ServiceAccount")
RESOURCE_QUOTA = Resource("", "v1", "resourcequotas", "ResourceQuota")
EVENT = Resource("", "v1", "events", "Event")
JOB = Resource("batch", "v1", "jobs", "Job")
DEPLOYMENT = Resource("apps", "v1", "deployments", "Deployment")
REPLICA_SET = Resource("apps", "v1", "replicasets", "ReplicaSet")
AUTOSCALER = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
NETWORK_POLICY = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
KNATIVE_SERVICE = Resource("serving.knative.dev", "v1", "services", "Service")
KNATIVE_REVISION = Resource("serving.knative.dev", "v1", "revisions", "Revision")
REQUEST_AUTHENTICATION = Resource(
    "security.istio.io", "v1", "requestauthentications", "RequestAuthentication"
)
AUTHORIZATION_POLICY = Resource(
    "security.istio.io", "v1", "authorizationpolicies", "AuthorizationPolicy"
)
PEER_AUTHENTICATION = Resource(
    "security.istio.io", "v1", "peerauthentications", "PeerAuthentication"
)
ACCESS_REVIEW = Resource(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False
)


class KubeApi:
    """Thread-safe. Errors: NotThere, AlreadyThere, Outdated, PermanentError (the server's own
    words, with the field where it names one) and TransientError."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._client = _api_client(cluster)

    # Reads -------------------------------------------------------------------------------

    def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        return self._json("GET", resource.path(namespace, name))

    def find(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """As `get`, None where there is nothing."""
        try:
            return self.get(resource, namespace, name)
        except NotThere:
            return None

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> list[Object]:
        """All matching objects, in pages of 500. Empty where the kind is not served."""
        query = {"limit": "500", **_selectors(labels, fields)}
        found: list[Object] = []
        while True:
            try:
                page = self._json("GET", resource.path(namespace), query)
            except NotThere:
                return found
            except Outdated:
                query.pop("continue", None)
                found.clear()
                continue
            for item in page.get("items") or []:
                item.setdefault("kind", resource.kind)
                found.append(item)
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return found
            query["continue"] = token

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        seconds: int = 300,
    ) -> Iterator[tuple[str, Object]]:
        """(type, object) from now on, for about `seconds`. Starts with every present object as
        ADDED. Ends quietly; raises Outdated when the server has forgotten the position (410):
        call again."""
        listed = self._json("GET", resource.path(namespace), _selectors(labels, None))
        for item in listed.get("items") or []:
            yield "ADDED", item
        query = {
            **_selectors(labels, None),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
            "resourceVersion": (listed.get("metadata") or {}).get("resourceVersion", ""),
        }
        response = self._send("GET", resource.path(namespace), query, None, {}, seconds + 10)
        try:
            for line in _lines(response):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    if status.get("code") == 410:
                        raise Outdated("The watch expired.", reason="WatchExpired", retry_after=0)
                    raise TransientError(status.get("message", "The watch failed."))
                if event["type"] != "BOOKMARK":
                    yield event["type"], event["object"]
        finally:
            response.release_conn()

    def logs(
        self,
        namespace: str,
        pod: str,
        *,
        container: str = "",
        tail: int = 200,
        previous: bool = False,
    ) -> str:
        """The last lines of a container's log; empty where there is none yet."""
        query = {"tailLines": str(tail), **({"container": container} if container else {})}
        if previous:
            query["previous"] = "true"
        try:
            body = self._request("GET", POD.path(namespace, pod) + "/log", query)
        except (NotThere, PermanentError):
            return ""
        return body.decode("utf-8", "replace")

    def may(self, verb: str, resource: Resource, namespace: str | None) -> bool:
        """Whether the credentials may do this, by the server's own answer."""
        attributes = {
            "verb": verb,
            "group": resource.group,
            "resource": resource.plural,
            **({"namespace": namespace} if namespace and resource.namespaced else {}),
        }
        review = self._json(
            "POST",
            ACCESS_REVIEW.path(),
            body={
                "apiVersion": ACCESS_REVIEW.api_version,
                "kind": ACCESS_REVIEW.kind,
                "spec": {"resourceAttributes": attributes},
            },
        )
        return bool(review.get("status", {}).get("allowed"))

    def version(self) -> str:
        return str(self._json("GET", "/version").get("gitVersion", ""))

    def serves(self, resource: Resource) -> bool:
        """Whether the server knows this kind at this version."""
        base = f"/apis/{resource.group}/{resource.version}" if resource.group else "/api/v1"
        try:
            found = self._json("GET", base)
        except NotThere:
            return False
        return any(r.get("name") == resource.plural for r in found.get("resources") or [])

    # Writes ------------------------------------------------------------------------------

    def create(self, resource: Resource, namespace: str | None, body: Object) -> Object:
        """Create once. A repeat after a lost answer raises AlreadyThere: adopt it then."""
        return self._json("POST", resource.path(namespace), self._write_query(), body)

    def apply(self, resource: Resource, namespace: str | None, body: Object) -> Object:
        """Server-side apply as our field manager; takes over fields that others set."""
        return self._json(
            "PATCH",
            resource.path(namespace, body["metadata"]["name"]),
            {**self._write_query(), "force": "true"},
            body,
            {"Content-Type": "application/apply-patch+yaml"},
        )

    def merge(self, resource: Resource, namespace: str | None, name: str, patch: Object) -> Object:
        """JSON merge patch (RFC 7386)."""
        return self._json(
            "PATCH",
            resource.path(namespace, name),
            self._write_query(),
            patch,
            {"Content-Type": "application/merge-patch+json"},
        )

    def delete(
        self, resource: Resource, namespace: str | None, name: str, *, foreground: bool = True
    ) -> bool:
        """Ask for deletion with everything that it owns. False where it was gone already."""
        body = {"propagationPolicy": "Foreground" if foreground else "Background"}
        try:
            self._json("DELETE", resource.path(namespace, name), body=body)
        except NotThere:
            return False
        return True

    # Wire --------------------------------------------------------------------------------

    def _write_query(self) -> dict[str, str]:
        return {"fieldManager": self.cluster.field_manager, "fieldValidation": "Strict"}

    def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        found: Object = json.loads(self._request(method, path, query, body, headers))
        return found

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        for attempt in range(1, ATTEMPTS + 1):
            pause = 0.2 * 2**attempt * (0.5 + random.random() / 2)  # noqa: S311 - jitter
            try:
                response = self._send(method, path, query or {}, body, headers or {})
                data: bytes = response.data
                if response.status < 400:
                    return data
                error = _error(response.status, data, method, path)
                if response.status not in RETRYABLE or attempt == ATTEMPTS:
                    raise error
                pause = min(float(response.headers.get("Retry-After") or pause), 5.0)
            except TransientError:
                if attempt == ATTEMPTS:
                    raise
            time.sleep(pause)
        raise AssertionError("unreachable")

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Object | None,
        headers: Mapping[str, str],
        read_timeout_s: float | None = None,
    ) -> Any:
        import urllib3

        sent = {"Accept": "application/json", "User-Agent": "hekatoncheir"}
        if body is not None:
            sent["Content-Type"] = "application/json"
        sent.update(headers)
        queries: list[tuple[str, str]] = list(query.items())
        self._client.update_params_for_auth(sent, queries, ["BearerToken"], path, method, body)
        url = self._client.configuration.host.rstrip("/") + path
        if queries:
            url += "?" + urlencode(queries)
        try:
            return self._client.rest_client.pool_manager.request(
                method,
                url,
                body=None if body is None else json.dumps(body).encode(),
                headers=sent,
                preload_content=read_timeout_s is None,
                retries=False,
                timeout=urllib3.Timeout(
                    connect=self.cluster.timeout_s, read=read_timeout_s or self.cluster.timeout_s
                ),
            )
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(
                f"The Kubernetes API server cannot be reached: {error}",
                reason="ClusterUnreachable",
            ) from error


@lru_cache(maxsize=16)
def kube_api(cluster: Cluster) -> KubeApi:
    """One client a cluster and process.

    Raises:
        PermanentError: the package is missing or the configuration cannot be read.
    """
    return KubeApi(cluster)


def _api_client(cluster: Cluster) -> Any:
    try:
        from kubernetes import client, config
    except ImportError as error:
        raise PermanentError(
            "The Kubernetes backend needs the package `kubernetes`: install hekatoncheir[k8s].",
            reason="PackageMissing",
        ) from error
    configuration = client.Configuration()
    try:
        if cluster.in_cluster:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=cluster.kubeconfig or None,
                context=cluster.context or None,
                client_configuration=configuration,
                persist_config=False,
            )
    except config.ConfigException as error:
        raise PermanentError(
            f"The Kubernetes configuration cannot be read: {error}", reason="BadKubeconfig"
        ) from error
    return client.ApiClient(configuration)


def _selectors(
    labels: Mapping[str, str] | None, fields: Mapping[str, str] | None
) -> dict[str, str]:
    query = {}
    if labels:
        query["labelSelector"] = ",".join(f"{k}={v}" for k, v in sorted(labels.items()))
    if fields:
        query["fieldSelector"] = ",".join(f"{k}={v}" for k, v in sorted(fields.items()))
    return query


def _error(status: int, data: bytes, method: str, path: str) -> PermanentError | TransientError:
    """The server's Status object as one of our errors, its causes' fields in the message."""
    try:
        said = json.loads(data)
    except ValueError:
        said = {}
    message = said.get("message") or f"{method} {path} answered {status}"
    reason = said.get("reason") or f"Http{status}"
    causes = [
        f"{c['field']}: {c.get('message', '')}"
        for c in (said.get("details") or {}).get("causes") or []
        if c.get("field") and c["field"] not in message
    ]
    if causes:
        message = f"{message} ({'; '.join(causes)})"
    if status == 404:
        return NotThere(message, reason=reason)
    if status == 409 and method == "POST":
        return AlreadyThere(message, reason=reason)
    if status in (409, 410):
        return Outdated(message, reason=reason, retry_after=0.5)
    if status == 403 and "exceeded quota" in message:
        return TransientError(message, reason="QuotaExceeded", retry_after=15.0)
    if status in (401, 403):
        return PermanentError(message, reason="Forbidden" if status == 403 else "Unauthorized")
    if status in RETRYABLE:
        return TransientError(message, reason=reason)
    return PermanentError(message, reason=reason)


def _lines(response: Any) -> Iterator[bytes]:
    rest = b""
    for chunk in response.stream(65536, decode_content=True):
        rest += chunk
        *whole, rest = rest.split(b"\n")
        yield from (line for line in whole if line)
