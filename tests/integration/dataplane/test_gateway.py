"""What the gateway does to requests and answers, with real ones."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import httpx
import pytest

from serving import keys
from tests.conformance.backends import KEY, Load, revision
from tests.fakes.local_node import LocalNode, wait_for
from tests.integration.dataplane.conftest import Make

PRIVATE = ("hekaton_session", "hekaton_csrf")


def test_private_cookies_pass_neither_way(node: LocalNode, make: Make) -> None:
    made = make(revision(node))
    cookie = f"a=1; {PRIVATE[0]}=secret; b=2;{PRIVATE[1]}=t; {PRIVATE[0]}x=mine"
    answer = made.get(
        f"/cookies?names={PRIVATE[0]},own,{PRIVATE[1]}", headers=made.headers | {"Cookie": cookie}
    )
    assert answer.json()["cookie"] == f"a=1; b=2; {PRIVATE[0]}x=mine"
    assert answer.headers.get_list("set-cookie") == ["own=theirs; Path=/"]


def test_an_api_key_header_opens_too(node: LocalNode, make: Make) -> None:
    made = make(revision(node))
    token = node.token(made.spec.uid, KEY)
    answer = made.get("/echo", headers={"X-Api-Key": token})
    assert answer.status_code == 200
    assert "x-api-key" not in {k.lower() for k in answer.json()["headers"]}


def test_an_expired_key_is_refused(node: LocalNode, make: Make) -> None:
    made = make(revision(node))
    token = node.ring.issue(made.spec.uid, KEY, expires_at=time.time() - 60)
    answer = made.get("/version", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert "expired" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/../{other}/version", "/%2e%2e/{other}/version"])
def test_dots_do_not_lead_into_another_endpoint(node: LocalNode, make: Make, path: str) -> None:
    mine, other = make(revision(node)), make(revision(node))
    target = "/e/acme/wine/" + mine.spec.name + path.format(other=other.spec.name)
    with socket.create_connection(("127.0.0.1", node.port)) as raw:
        raw.sendall(
            f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: {mine.headers['Authorization']}\r\n\r\n".encode()
        )
        assert b" 403 " in raw.recv(4096).split(b"\r\n")[0]


def test_clients_cannot_steer_the_proxy(node: LocalNode, make: Make) -> None:
    made = make(revision(node))
    forged = {"x-envoy-upstream-rq-timeout-ms": "1", "x-hekaton-revision": "other"}
    answer = made.get("/sleep?s=0.2", headers=made.headers | forged)
    assert answer.status_code == 200
    seen = made.get("/echo", headers=made.headers | forged).json()["headers"]
    seen = {k.lower(): v for k, v in seen.items()}
    assert seen["x-hekaton-revision"] == made.spec.revisions[0].uid
    assert not [name for name in seen if name.startswith("x-envoy")]


def test_events_arrive_one_by_one(node: LocalNode, make: Make) -> None:
    made = make(revision(node))
    arrived = []
    with httpx.stream("GET", made.url + "/stream?n=5&pause=0.2", headers=made.headers) as answer:
        arrived = [time.monotonic() for line in answer.iter_lines() if line]
    assert arrived[-1] - arrived[0] > 0.5


def test_an_answer_after_the_timeout_is_cut_with_a_problem(node: LocalNode, make: Make) -> None:
    made = make(revision(node, timeout_s=0.3))
    answer = made.get("/sleep?s=2")
    assert (answer.status_code, answer.json()["code"]) == (504, "timeout")


def test_a_new_signing_key_takes_over_without_a_pause(node: LocalNode, make: Make) -> None:
    made = make(revision(node))
    old = made.headers
    with Load(made, "/version", connections=2) as load:
        node.ring = keys.rotate(node.home / "keys" / keys.KEY_FILE)
        wait_for(lambda: made.get("/version").status_code == 200, "the new key opens", 5)
        assert made.get("/version", headers=old).status_code == 200
    assert load.bad == []


def test_the_access_log_has_a_line_with_the_request_id(
    node: LocalNode, make: Make, folder: Path
) -> None:
    made = make(revision(node))
    request_id = made.get("/version").headers["x-request-id"]

    def logged() -> list[dict[str, object]]:
        lines = (folder / "envoy" / "access.log").read_text().splitlines()
        return [json.loads(line) for line in lines if request_id in line]

    (line,) = wait_for(logged, "the line is written")
    assert line["status"] == 200
    assert line["cluster"] == f"rev_{made.spec.revisions[0].uid}"
