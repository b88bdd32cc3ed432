"""What Envoy is started with. Nothing here changes while it runs: routes, clusters, their members
and the key filter come from files that it watches (`node.envoy.files`).

A change of a listener would end its connections after the drain time, so the keys of
`jwt_authn` arrive by extension discovery and not in the listener. Source:
https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_filters/jwt_authn_filter.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.envoy import cookies, replies

Config = dict[str, Any]
TYPE = "type.googleapis.com/"
ROUTES, KEYS = "gateway", "keys"
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


@dataclass(frozen=True, kw_only=True)
class Options:
    """`folder` holds Envoy's files; `admin` is the path of its admin socket."""

    folder: Path
    admin: Path
    host: str
    port: int
    private_cookies: tuple[str, ...]
    max_connections: int = 20_000
    max_header_kb: int = 64
    header_timeout_s: float = 15.0


def bootstrap(options: Options) -> Config:
    return {
        "node": {"id": "hekaton", "cluster": "hekaton"},
        "admin": {"address": {"pipe": {"path": str(options.admin), "mode": 0o600}}},
        "dynamic_resources": {"cds_config": source(options.folder / "cds.json")},
        "static_resources": {"listeners": [_listener(options)]},
        "stats_flush_interval": "1s",  # how old histograms may be
        "stats_config": {
            "stats_matcher": {
                "inclusion_list": {
                    "patterns": [
                        {"safe_regex": {"regex": pattern}}
                        for pattern in (
                            r"cluster\.rev_[^.]+\.(upstream_rq_(active|pending_active|time|total"
                            r"|completed|5xx|timeout|pending_overflow)|membership_(healthy|total))",
                            r"cluster_manager\.cds\.(version_text|update_(success|rejected))",
                            r"http\.gateway\.(rds\.gateway\.(version_text|update_(success|rejected))"
                            r"|downstream_(cx_active|rq_active|rq_total))",
                            r"server\.(live|uptime|state)",
                        )
                    ]
                }
            },
            "histogram_bucket_settings": [
                {
                    "match": {"safe_regex": {"regex": r".*"}},
                    "buckets": [b * 1000 for b in BUCKETS_S],
                }
            ],
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": TYPE + "envoy.extensions.resource_monitors.downstream_connections"
                        ".v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": options.max_connections,
                    },
                }
            ]
        },
    }


def source(path: Path) -> Config:
    """A file as a source of configuration. Renaming a new one over it is the change."""
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def _listener(options: Options) -> Config:
    return {
        "name": "gateway",
        "address": {"socket_address": {"address": options.host, "port_value": options.port}},
        "per_connection_buffer_limit_bytes": 256 * 1024,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": _connection_manager(options),
                    }
                ]
            }
        ],
    }


def _connection_manager(options: Options) -> Config:
    return {
        "@type": TYPE + "envoy.extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager",
        "stat_prefix": "gateway",
        "codec_type": "HTTP1",
        "rds": {"route_config_name": ROUTES, "config_source": source(options.folder / "rds.json")},
        "use_remote_address": True,
        # nobody is internal: `x-envoy-*` headers of clients are dropped, also from loopback
        "internal_address_config": {
            "cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]
        },
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": True,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "max_request_headers_kb": options.max_header_kb,
        "request_headers_timeout": _seconds(options.header_timeout_s),
        "stream_idle_timeout": "0s",  # each route has its own
        "common_http_protocol_options": {
            "idle_timeout": "300s",
            "max_headers_count": 100,
            "headers_with_underscores_action": "ALLOW",
        },
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http_filters": [
            {
                "name": KEYS,
                "config_discovery": {
                    "config_source": source(options.folder / "keys.json"),
                    "type_urls": [
                        TYPE + "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
                    ],
                },
            },
            {
                "name": "rbac",
                "typed_config": {
                    # nothing passes unless its route says so
                    "@type": TYPE + "envoy.extensions.filters.http.rbac.v3.RBAC",
                    "rules": {"action": "ALLOW", "policies": {}},
                },
            },
            {
                "name": "buffer",
                "disabled": True,
                "typed_config": {
                    "@type": TYPE + "envoy.extensions.filters.http.buffer.v3.Buffer",
                    "max_request_bytes": 1,
                },
            },
            *cookies.filters(options.private_cookies),
            {
                "name": "router",
                "typed_config": {
                    "@type": TYPE + "envoy.extensions.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            },
        ],
        "local_reply_config": replies.config(),
        "access_log": [_access_log(options.folder / "access.log")],
    }


def _access_log(path: Path) -> Config:
    return {
        "name": "file",
        "typed_config": {
            "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(path),
            "log_format": {
                "json_format": {
                    "at": "%START_TIME%",
                    "id": "%REQ(X-REQUEST-ID)%",
                    "method": "%REQ(:METHOD)%",
                    "prefix": "%REQ(X-FORWARDED-PREFIX)%",
                    "path": "%PATH(NQ:PATH)%",
                    "status": "%RESPONSE_CODE%",
                    "flags": "%RESPONSE_FLAGS%",
                    "ms": "%DURATION%",
                    "bytes_in": "%BYTES_RECEIVED%",
                    "bytes_out": "%BYTES_SENT%",
                    "cluster": "%UPSTREAM_CLUSTER%",
                    "upstream": "%UPSTREAM_HOST%",
                    "from": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
                }
            },
        },
    }


def _seconds(value: float) -> str:
    return f"{value:.3f}s"
