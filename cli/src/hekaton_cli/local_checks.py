"""Asking a server the requests of `verify`, without a portal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx

from contract import checks
from contract.manifest import Check


def ask(url: str, asked: tuple[Check, ...]) -> Iterator[dict[str, Any]]:
    """One result a check: {name, outcome, message, status, elapsed_s, differences}."""
    with httpx.Client(base_url=url.rstrip("/")) as http:
        for check in asked:
            yield _ask(http, check)


def _ask(http: httpx.Client, check: Check) -> dict[str, Any]:
    headers = dict(check.headers)
    content = check.text
    if check.has_json:
        content = json.dumps(check.json)
        headers.setdefault("Content-Type", "application/json")
    result: dict[str, Any] = {"name": check.name, "status": None, "elapsed_s": None}
    started = time.perf_counter()
    try:
        response = http.request(
            check.method, check.path, content=content, headers=headers, timeout=check.timeout_s
        )
    except httpx.HTTPError as error:
        return {**result, "outcome": "error", "message": f"no answer: {error}", "differences": []}
    elapsed = time.perf_counter() - started
    answer = checks.Answer(response.status_code, dict(response.headers), response.content, elapsed)
    found = [difference.to_dict() for difference in checks.compare(check.expect, answer)]
    return {
        **result,
        "outcome": "failed" if found else "passed",
        "message": f"{len(found)} differences" if found else "",
        "status": response.status_code,
        "elapsed_s": round(elapsed, 4),
        "differences": found,
    }
