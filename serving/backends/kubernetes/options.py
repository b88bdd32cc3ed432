"""What an operator sets for the cluster backends (`SERVING["BACKENDS"][name]`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from portal.cloud.kube_project import ResourceClass, Space, read_classes, read_space


@dataclass(frozen=True, kw_only=True)
class Options:
    """The keys of `Space` are given beside these.

    `istio`: write RequestAuthentication and AuthorizationPolicy; without it endpoints can only
    be public, and a private one is refused. `verify_via` is how the portal reaches a service
    without a public route: `cluster` when it runs in the cluster, `api-proxy` (the API server's
    pod proxy) otherwise. `issuer` and `jwks` are the endpoint keys' (filled in by the loader).
    `url_template` may hold `{name}` and `{namespace}`, for the plain backend's ingress.
    """

    space: Space = field(default_factory=Space)
    istio: bool = True
    issuer: str = "hekaton"
    verify_via: Literal["cluster", "api-proxy"] = "api-proxy"
    progress_deadline_s: int = 120
    port: int = 8080
    run_as_user: int = 1000
    image_pull_secrets: tuple[str, ...] = ()
    classes: Mapping[str, ResourceClass] = field(default_factory=dict)
    gateway_principals: tuple[str, ...] = ()
    url_template: str = ""
    max_timeout_s: float = 600.0
    max_replicas: int = 100


def read_options(given: Mapping[str, Any]) -> Options:
    """Options from a settings dictionary.

    Raises:
        ValueError: an unknown key, named.
    """
    values = dict(given)
    try:
        space = read_space(values)
        classes = read_classes(values.pop("classes", {}))
        for name in ("image_pull_secrets", "gateway_principals"):
            if name in values:
                values[name] = tuple(values[name])
        return Options(**values, space=space, classes=classes)
    except TypeError as error:
        raise ValueError(f"Kubernetes backend: {error}") from error
