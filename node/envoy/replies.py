"""What the gateway itself answers: problem+json (RFC 9457) with a stable code and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Reply:
    status: int
    code: str
    title: str
    detail: str
    headers: tuple[tuple[str, str], ...] = ()


REPLIES = (
    Reply(400, "bad_request", "Bad request", "The gateway cannot read this request."),
    Reply(
        401,
        "unauthorized",
        "A key is needed",
        "Send an endpoint key of this endpoint as `Authorization: Bearer KEY`. (%LOCAL_REPLY_BODY%)",
        (("www-authenticate", 'Bearer realm="hekaton"'),),
    ),
    Reply(
        403,
        "forbidden",
        "This key does not open this endpoint",
        "The key was revoked, or belongs to another endpoint. Make a new key for this endpoint.",
    ),
    Reply(
        404,
        "not_found",
        "No such endpoint",
        "No endpoint is served at this address. Look at the endpoint's `url` in the portal.",
    ),
    Reply(408, "request_timeout", "Request timeout", "The request took too long to arrive."),
    Reply(
        413,
        "request_too_large",
        "Request too large",
        "The request's body is larger than this endpoint accepts.",
    ),
    Reply(431, "headers_too_large", "Headers too large", "The request's headers are too large."),
    Reply(
        503,
        "unavailable",
        "The endpoint cannot answer now",
        "%LOCAL_REPLY_BODY%",
        (("retry-after", "1"),),
    ),
    Reply(
        504,
        "timeout",
        "The endpoint took too long",
        "No complete answer came within the endpoint's timeout.",
    ),
)


def config() -> dict[str, Any]:
    """Envoy's `local_reply_config`. Answers of user code are never touched by it."""
    return {
        "mappers": [_mapper(reply) for reply in REPLIES],
        "body_format": _body("error", "The gateway refused the request", "%LOCAL_REPLY_BODY%"),
    }


def _mapper(reply: Reply) -> dict[str, Any]:
    return {
        "filter": {
            "status_code_filter": {
                "comparison": {
                    "op": "EQ",
                    "value": {
                        "default_value": reply.status,
                        "runtime_key": f"hekaton.reply.{reply.status}",
                    },
                }
            }
        },
        "body_format_override": _body(reply.code, reply.title, reply.detail),
        "headers_to_add": [
            {
                "header": {"key": name, "value": value},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
            for name, value in reply.headers
        ],
    }


def _body(code: str, title: str, detail: str) -> dict[str, Any]:
    return {
        "json_format": {
            "type": "about:blank",
            "title": title,
            "status": "%RESPONSE_CODE%",
            "code": code,
            "detail": detail,
            "request_id": "%REQ(X-REQUEST-ID)%",
        },
        "content_type": PROBLEM,
    }
