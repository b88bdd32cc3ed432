"""Routes, clusters and members as Envoy's resources. Pure.

Names: a revision is the cluster `rev_<uid>`; its members are the replicas that are ready, or the
node's activator while there are none, so that scaling never touches routes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from contract.names import HEADER_ENDPOINT, HEADER_REVISION
from node.envoy.bootstrap import KEYS, ROUTES, TYPE

Config = dict[str, Any]
JWT = "envoy.filters.http.jwt_authn"
KEY_HEADER = "x-api-key"
ISSUER = "hekaton"
# Idle connections to a replica are closed before common servers close them (gunicorn after 2 s,
# uvicorn after 5 s): a request sent into a closing connection could not be retried safely.
UPSTREAM_IDLE = "1.5s"
RETRIES = "connect-failure,refused-stream,reset-before-request"


@dataclass(frozen=True, kw_only=True)
class Share:
    """`weight` of `revision_uid` among the shares of one route."""

    revision_uid: str
    weight: int


@dataclass(frozen=True, kw_only=True)
class Route:
    """One public prefix. Without shares the endpoint is known but cannot answer yet.
    `key_ids` None: anyone may call."""

    prefix: str
    endpoint_uid: str
    shares: tuple[Share, ...]
    key_ids: tuple[str, ...] | None
    timeout_s: float
    max_request_bytes: int
    waiting: str = "The endpoint is starting."


def cluster_name(revision_uid: str) -> str:
    return f"rev_{revision_uid}"


def revision_of(name: str) -> str:
    return name.removeprefix("rev_")


def version(resources: object) -> str:
    return hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()[:16]


# Clusters --------------------------------------------------------------------------------


def cluster(revision_uid: str, addresses: Iterable[str]) -> Config:
    """A revision with its members: host:port, or the path of a Unix socket."""
    name = cluster_name(revision_uid)
    breaker = {"max_connections": 10_000, "max_pending_requests": 10_000, "max_requests": 10_000,
               "max_retries": 100}  # fmt: skip
    return {
        "@type": TYPE + "envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [_member(address) for address in addresses]}],
        },
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [breaker]},
        "per_connection_buffer_limit_bytes": 256 * 1024,
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": {"idle_timeout": UPSTREAM_IDLE},
            }
        },
    }


def clusters(found: Mapping[str, Iterable[str]]) -> Config:
    """All clusters as one resource, members by revision uid. Members are not discovered by a
    file each: Envoy watches every such file with an inotify instance of its own, of which a user
    has 128, and aborts without one."""
    return _response([cluster(uid, found[uid]) for uid in sorted(found)])


def _member(address: str) -> Config:
    if address.startswith("/"):
        return {"endpoint": {"address": {"pipe": {"path": address}}}}
    host, _, port = address.rpartition(":")
    return {"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(port)}}}}


# Keys ------------------------------------------------------------------------------------


def keys(jwks: Mapping[str, Any]) -> Config:
    """The key filter. Which key opens which endpoint is decided by each route."""
    provider = {
        "issuer": ISSUER,
        "local_jwks": {"inline_string": json.dumps(jwks, sort_keys=True)},
        "from_headers": [
            {"name": "Authorization", "value_prefix": "Bearer "},
            {"name": KEY_HEADER},
        ],
        "payload_in_metadata": "payload",
        "jwt_cache_config": {"jwt_cache_size": 2000},
        "clock_skew_seconds": 5,
    }
    return _response(
        [
            {
                "@type": TYPE + "envoy.config.core.v3.TypedExtensionConfig",
                "name": KEYS,
                "typed_config": {
                    "@type": TYPE + "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
                    "providers": {"hekaton": provider},
                    "requirement_map": {"key": {"provider_name": "hekaton"}},
                },
            }
        ]
    )


# Routes ----------------------------------------------------------------------------------


def routes(found: Iterable[Route]) -> Config:
    """All routes as one resource: a prefix tree, so that the cost of a look-up does not grow
    with the number of endpoints."""
    tree = {
        route.prefix: {"action": {"name": "routes", "typed_config": route_list(route)}}
        for route in sorted(found, key=lambda r: r.prefix)
    }
    nothing: Config = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 404},
        "typed_per_filter_config": _open(),
    }
    host: Config = {"name": "endpoints", "domains": ["*"]}
    if tree:
        host["matcher"] = {
            "matcher_tree": {
                "input": {
                    "name": "path",
                    "typed_config": {
                        "@type": TYPE + "envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
                        "header_name": ":path",
                    },
                },
                "prefix_match_map": {"map": tree},
            },
            "on_no_match": {
                "action": {
                    "name": "routes",
                    "typed_config": {"@type": TYPE + "envoy.config.route.v3.Route", **nothing},
                }
            },
        }
    else:
        host["routes"] = [nothing]
    return _response(
        [
            {
                "@type": TYPE + "envoy.config.route.v3.RouteConfiguration",
                "name": ROUTES,
                "virtual_hosts": [host],
                "validate_clusters": False,
                "request_headers_to_remove": ["x-envoy-external-address", "x-envoy-internal"],
            }
        ]
    )


def route_list(route: Route) -> Config:
    """A body that says it is too large is refused at once; one that does not say how large it is
    (chunked) is collected up to the limit; everything else streams through, as do WebSockets.
    (Envoy's codec has removed Transfer-Encoding when routes are matched, so it cannot be asked.)
    """
    match: Config = {"path_separated_prefix": route.prefix}
    too_large = {
        "name": "content-length",
        "range_match": {"start": route.max_request_bytes + 1, "end": 2**62},
    }
    unsized = {"name": "content-length", "present_match": False}
    plain = {"name": "upgrade", "present_match": False}
    access = _access(route)
    action = _action(route)
    listed = [
        {
            "match": match | {"headers": [too_large]},
            "direct_response": {"status": 413},
            "typed_per_filter_config": access,
        },
        {
            "match": match | {"headers": [unsized, plain]},
            **action,
            "typed_per_filter_config": access
            | {
                "buffer": {
                    "@type": TYPE + "envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
                    "buffer": {"max_request_bytes": route.max_request_bytes},
                }
            },
        },
        {"match": match, **action, "typed_per_filter_config": access},
        {
            # `/e/a/b/cd` lands here through the tree's prefix `/e/a/b/c`
            "match": {"prefix": "/"},
            "direct_response": {"status": 404},
            "typed_per_filter_config": _open(),
        },
    ]
    return {"@type": TYPE + "envoy.config.route.v3.RouteList", "routes": listed}


def _action(route: Route) -> Config:
    if not route.shares:
        return {
            "direct_response": {"status": 503, "body": {"inline_string": route.waiting}},
            "response_headers_to_add": [_header(HEADER_ENDPOINT, route.endpoint_uid)],
        }
    target: Config = {
        "timeout": f"{route.timeout_s:.3f}s",
        "idle_timeout": f"{route.timeout_s:.3f}s",
        "regex_rewrite": {
            "pattern": {"regex": f"^{re.escape(route.prefix)}/?"},
            "substitution": "/",
        },
        "retry_policy": {
            "retry_on": RETRIES,
            "num_retries": 3,
            "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.200s"},
            "host_selection_retry_max_attempts": 3,
            "retry_host_predicate": [
                {
                    "name": "previous_hosts",
                    "typed_config": {
                        "@type": TYPE + "envoy.extensions.retry.host.previous_hosts.v3"
                        ".PreviousHostsPredicate"
                    },
                }
            ],
        },
    }
    request = [_header("x-forwarded-prefix", route.prefix)]
    response = [_header(HEADER_ENDPOINT, route.endpoint_uid)]
    if len(route.shares) == 1:
        uid = route.shares[0].revision_uid
        target["cluster"] = cluster_name(uid)
        request.append(_header(HEADER_REVISION, uid))
        response.append(_header(HEADER_REVISION, uid))
    else:
        target["weighted_clusters"] = {
            "clusters": [
                {
                    "name": cluster_name(share.revision_uid),
                    "weight": share.weight,
                    "request_headers_to_add": [_header(HEADER_REVISION, share.revision_uid)],
                    "response_headers_to_add": [_header(HEADER_REVISION, share.revision_uid)],
                }
                for share in route.shares
            ]
        }
    return {
        "route": target,
        "request_headers_to_add": request,
        "request_headers_to_remove": ["authorization", KEY_HEADER],
        "response_headers_to_add": response,
    }


def _access(route: Route) -> Config:
    if route.key_ids is None:
        return _open()
    policies: Config = {}
    if route.key_ids:
        live = [{"string_match": {"exact": key}} for key in sorted(route.key_ids)]
        policies["keys"] = {
            "permissions": [{"any": True}],
            "principals": [
                {
                    "and_ids": {
                        "ids": [
                            _claim("aud", {"string_match": {"exact": route.endpoint_uid}}),
                            _claim("jti", {"or_match": {"value_matchers": live}}
                                   if len(live) > 1 else live[0]),
                        ]
                    }
                }
            ],
        }  # fmt: skip
    return {
        KEYS: {
            "@type": TYPE + "envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig",
            "requirement_name": "key",
        },
        "rbac": {
            "@type": TYPE + "envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
            "rbac": {"rules": {"action": "ALLOW", "policies": policies}},
        },
    }


def _open() -> Config:
    return {
        KEYS: {
            "@type": TYPE + "envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig",
            "disabled": True,
        },
        "rbac": {"@type": TYPE + "envoy.extensions.filters.http.rbac.v3.RBACPerRoute"},
    }


def _claim(name: str, value: Config) -> Config:
    return {
        "sourced_metadata": {
            "metadata_matcher": {
                "filter": JWT,
                "path": [{"key": "payload"}, {"key": name}],
                "value": value,
            }
        }
    }


def _header(name: str, value: str) -> Config:
    return {
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def _response(resources: list[Config]) -> Config:
    return {"version_info": version(resources), "resources": resources}
