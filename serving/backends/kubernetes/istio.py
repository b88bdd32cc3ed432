"""Who may call an endpoint, as Istio objects. Pure, and validated here before they are sent.

Requests with a bad token are refused by RequestAuthentication, requests without one by the
AuthorizationPolicy, which allows only this endpoint's audience and its live key ids (as the local
data plane does). Source: https://istio.io/latest/docs/reference/config/security/.

Istio's CRD accepts rules that mean nothing or everything (an empty `source`); its webhook does
not always run. `problems` finds those before the API server sees them.
"""

from __future__ import annotations

import json
from typing import Any

from serving.backends.base import EndpointSpec
from serving.backends.kubernetes import names

Object = dict[str, Any]
SYSTEM_NAMESPACES = ("knative-serving", "istio-system")
PROBE_PATHS = ("/metrics", "/healthz", "/_internal/knative/activator/probe")


def request_authentication(endpoint: EndpointSpec, *, issuer: str, jwks: Object) -> Object:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": _metadata(endpoint),
        "spec": {
            "selector": _selector(endpoint),
            "jwtRules": [
                {
                    "issuer": issuer,
                    "audiences": [endpoint.uid],
                    "jwks": json.dumps(jwks, sort_keys=True, separators=(",", ":")),
                    "fromHeaders": [{"name": "Authorization", "prefix": "Bearer "}],
                    "forwardOriginalToken": False,
                }
            ],
        },
    }


def authorization_policy(endpoint: EndpointSpec, *, issuer: str) -> Object:
    """ALLOW rules; what no rule allows is denied. Without a live key nobody is allowed."""
    rules: list[Object] = [
        {
            "from": [{"source": {"namespaces": list(SYSTEM_NAMESPACES)}}],
            "to": [{"operation": {"paths": list(PROBE_PATHS)}}],
        }
    ]
    if endpoint.auth == "public":
        rules.append({"to": [{"operation": {"paths": ["/*"]}}]})
    elif endpoint.live_key_ids:
        rules.append(
            {
                "from": [{"source": {"requestPrincipals": [f"{issuer}/*"]}}],
                "when": [
                    {"key": "request.auth.audiences", "values": [endpoint.uid]},
                    {"key": "request.auth.claims[jti]", "values": sorted(endpoint.live_key_ids)},
                ],
            }
        )
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": _metadata(endpoint),
        "spec": {"selector": _selector(endpoint), "action": "ALLOW", "rules": rules},
    }


def peer_authentication(endpoint: EndpointSpec) -> Object:
    """Only mutual TLS between the endpoint's pods and the mesh."""
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": _metadata(endpoint),
        "spec": {"selector": _selector(endpoint), "mtls": {"mode": "STRICT"}},
    }


def problems(body: Object) -> list[str]:
    """What Istio's schema lets through but its semantics do not mean."""
    spec = body.get("spec") or {}
    found = []
    if not (spec.get("selector") or {}).get("matchLabels"):
        found.append("selector: without labels it would apply to the whole namespace")
    for i, rule in enumerate(spec.get("rules") or []):
        if not rule:
            found.append(f"rules[{i}]: an empty rule allows everything")
        for j, source in enumerate(rule.get("from") or []):
            if not any((source.get("source") or {}).values()):
                found.append(f"rules[{i}].from[{j}].source: an empty source matches everyone")
        for j, to in enumerate(rule.get("to") or []):
            if not any((to.get("operation") or {}).values()):
                found.append(f"rules[{i}].to[{j}].operation: an empty operation matches all")
        for j, when in enumerate(rule.get("when") or []):
            if not when.get("key") or not (when.get("values") or when.get("notValues")):
                found.append(f"rules[{i}].when[{j}]: it needs a key and values")
    for i, rule in enumerate(spec.get("jwtRules") or []):
        if not rule.get("issuer"):
            found.append(f"jwtRules[{i}].issuer: is missing")
        if not rule.get("jwks") and not rule.get("jwksUri"):
            found.append(f"jwtRules[{i}]: it needs jwks or jwksUri")
        if not rule.get("audiences"):
            found.append(f"jwtRules[{i}].audiences: a token for any endpoint would do")
    return found


def _metadata(endpoint: EndpointSpec) -> Object:
    return {"name": names.service_name(endpoint), "labels": names.endpoint_labels(endpoint)}


def _selector(endpoint: EndpointSpec) -> Object:
    return {"matchLabels": {names.ENDPOINT: endpoint.uid.lower()}}
