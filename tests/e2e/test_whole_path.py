"""From a folder to a verified, authenticated web API, through the command line and the API."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.running import ROOT, Portal, wait_until

pytestmark = pytest.mark.timeout(600)

SERVER = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CRASH_AT, ANSWER, seen = int(os.environ.get("CRASH_AT", 0)), os.environ.get("ANSWER", "one"), 0

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        global seen
        if self.path != "/healthz":
            seen += 1
            if seen == CRASH_AT:
                print("about to crash", flush=True)
                os._exit(9)
        status = 500 if ANSWER == "error" and self.path != "/healthz" else 200
        body = json.dumps({"answer": ANSWER}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a):
        pass

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def submission(
    folder: Path,
    name: str,
    *,
    env: dict[str, str] | None = None,
    serve: str = "python serve.py",
    answer: str = "one",
    deploy: str = "",
    startup: str = "20s",
) -> Path:
    """A small served project without requirements."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "serve.py").write_text(SERVER)
    (folder / "hekaton.yaml").write_text(
        f"""apiVersion: hekaton/v1
name: {name}
steps:
  train: {{run: "echo model > $HEKATON_OUTPUT_DIR/m"}}
serve:
  run: {serve}
  model: train
  health: /healthz
  startup: {startup}
  scale: {{min: 1, max: 2}}
  env: {{{", ".join(f"{k}: '{v}'" for k, v in (env or {}).items())}}}
verify:
  - {{request: {{path: /a}}, expect: {{json: {{answer: {answer}}}}}}}
  - {{request: {{path: /b}}, expect: {{json: {{answer: {answer}}}}}}}
  - {{request: {{path: /c}}, expect: {{json: {{answer: {answer}}}}}}}
{deploy}
"""
    )
    return folder


def submit(portal: Portal, folder: Path) -> dict[str, Any]:
    """Upload over the API; the finished run with its steps."""
    import io

    from contract import snapshot

    archive = io.BytesIO()
    snapshot.write_archive(folder, snapshot.scan(folder), archive)
    answer = portal.api(
        "POST", "/submissions", data={"team": "demo"},
        files={"snapshot": ("s.tar.gz", archive.getvalue())},
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    run = portal.wait_run(answer.json()["uid"])
    run["steps"] = {s["name"]: s for s in portal.get(f"/runs/{run['uid']}/steps")}
    return run


def endpoint_of(portal: Portal, project: str, slug: str) -> dict[str, Any]:
    found: dict[str, Any] = portal.get(f"/endpoints?project=demo/{project}&slug={slug}")["results"][
        0
    ]
    return found


def key_for(portal: Portal, endpoint: dict[str, Any]) -> dict[str, str]:
    made = portal.api("POST", f"/endpoints/{endpoint['uid']}/keys", json={"name": "test"})
    assert made.status_code == 201, made.text
    return {"Authorization": f"Bearer {made.json()['token']}"}


def test_the_example_through_the_command_line(portal: Portal, tmp_path: Path) -> None:
    folder = tmp_path / "wine"
    shutil.copytree(ROOT / "examples" / "wine", folder)
    portal.api("POST", "/projects", json={"team": "demo", "slug": "wine"})
    for part in ("train", "test"):
        portal.cli("data", "push", f"wine/{part}", f"data/{part}", cwd=folder)
    portal.cli("validate", cwd=folder)
    portal.cli("submit", "--follow", cwd=folder)
    endpoint = wait_until(
        lambda: endpoint_of(portal, "wine", "wine"),
        lambda e: e["ready"] == "True" and e["routed_generation"] >= e["generation"],
    )
    headers = key_for(portal, endpoint)
    body = portal.get("/runs?project=demo/wine")["results"][0]
    run = portal.get(f"/runs/{body['uid']}")
    known = run["manifest"]["verify"][0]
    url = endpoint["url"] + known["path"]
    answer = wait_until(
        lambda: httpx.post(url, json=known["json"], headers=headers, timeout=30),
        lambda a: a.status_code == 200,
    )
    assert answer.json()["grower"] == 0
    assert answer.headers["x-hekaton-revision"]
    assert answer.headers["x-request-id"]
    assert httpx.post(url, json=known["json"]).status_code == 401
    assert run["metrics"]["accuracy"] > 0.9
    assert "wine" in portal.cli("leaderboard", cwd=folder) or "0.96" in portal.cli(
        "leaderboard", cwd=folder
    )


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("nomodule", {"serve": "python -m nosuchthing"}, "MissingModule"),
        ("wrongport", {"serve": "python -m http.server 1", "startup": "4s"}, None),
        ("crash2", {"env": {"CRASH_AT": "2"}}, "AppCrashed"),
        ("wrong", {"env": {"ANSWER": "two"}}, "WrongAnswer"),
        ("slow", {"serve": "sleep 60", "startup": "3s"}, None),
    ],
)
def test_each_broken_server_fails_verification_with_its_cause(
    portal: Portal, tmp_path: Path, name: str, options: dict[str, Any], reason: str | None
) -> None:
    run = submit(portal, submission(tmp_path / name, f"v-{name}", **options))
    assert run["status"] == "failed", run["message"]
    failed = run["steps"].get("verify") or run["steps"]["build"]
    step = run["steps"]["build"] if run["steps"]["build"]["status"] == "failed" else failed
    assert step["status"] == "failed"
    assert step["message"]
    if reason == "MissingModule":
        assert "nosuchthing" in step["message"]
    elif reason:
        assert step["reason"] == reason, step
    if reason == "WrongAnswer":
        uid = step["result"]["verification"]
        report = portal.get(f"/verifications/{uid}")
        assert report["results"][0]["differences"][0]["path"] == "/answer"
    verifications = portal.get(f"/verifications?run={run['uid']}")["results"]
    assert all(v["status"] in ("passed", "failed") for v in verifications)


def test_deploy_canary_abort_and_rollback_lose_no_request(portal: Portal, tmp_path: Path) -> None:
    deploy = "deploy: {endpoint: live, strategy: instant}"
    first = submit(portal, submission(tmp_path / "one", "roll", deploy=deploy))
    assert first["status"] == "succeeded", first["message"]
    endpoint = wait_until(
        lambda: endpoint_of(portal, "roll", "live"), lambda e: e["ready"] == "True"
    )
    headers = key_for(portal, endpoint)
    url = f"{endpoint['url']}/x"
    wait_until(lambda: httpx.get(url, headers=headers).status_code, lambda s: s == 200)
    stopping = threading.Event()
    answers: list[tuple[int, str]] = []

    def load() -> None:
        with httpx.Client(headers=headers, timeout=30) as client:
            while not stopping.is_set():
                try:
                    answer = client.get(url)
                    answers.append((answer.status_code, answer.json().get("answer", "")))
                except httpx.HTTPError as error:
                    answers.append((0, str(error)))
                time.sleep(0.005)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        second = submit(
            portal,
            submission(
                tmp_path / "two", "roll", env={"ANSWER": "two"}, answer="two", deploy=deploy
            ),
        )
        assert second["status"] == "succeeded", second["message"]
        wait_until(lambda: answers[-1], lambda a: a[1] == "two", 30)
        began = time.monotonic()
        preview = portal.get(f"/endpoints/{endpoint['uid']}/rollback-preview")
        assert preview["revision"]["number"] == 1
        assert preview["instant"]
        answer = portal.api(
            "POST", f"/endpoints/{endpoint['uid']}/rollback", json={"reason": "two is worse"}
        )
        assert answer.status_code == 201, answer.text
        wait_until(lambda: answers[-1], lambda a: a[1] == "one", 30)
        took = time.monotonic() - began
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    bad = [a for a in answers if a[0] != 200]
    assert not bad, (len(bad), len(answers), bad[:3])
    assert took < 10
    paused = endpoint_of(portal, "roll", "live")
    assert "two is worse" in paused["following_paused"]
    third = submit(
        portal,
        submission(
            tmp_path / "three", "roll", env={"ANSWER": "three"}, answer="three", deploy=deploy
        ),
    )
    assert third["status"] == "failed"
    assert "paused" in third["steps"]["deploy"]["message"]


def test_a_revoked_key_is_refused_within_seconds(portal: Portal, tmp_path: Path) -> None:
    submit(portal, submission(tmp_path / "k", "keyed", deploy="deploy: {endpoint: k}"))
    endpoint = endpoint_of(portal, "keyed", "k")
    made = portal.api("POST", f"/endpoints/{endpoint['uid']}/keys", json={"name": "gone"}).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    url = f"{endpoint['url']}/x"
    wait_until(lambda: httpx.get(url, headers=headers).status_code, lambda s: s == 200)
    assert portal.api("DELETE", f"/keys/{made['uid']}").status_code == 204
    wait_until(lambda: httpx.get(url, headers=headers).status_code, lambda s: s in (401, 403), 5)


def test_endpoints_answer_while_the_portal_is_down_and_everything_heals(
    portal: Portal, tmp_path: Path
) -> None:
    submit(portal, submission(tmp_path / "d", "down", deploy="deploy: {endpoint: d}"))
    endpoint = endpoint_of(portal, "down", "d")
    headers = key_for(portal, endpoint)
    url = f"{endpoint['url']}/x"
    wait_until(lambda: httpx.get(url, headers=headers).status_code, lambda s: s == 200)
    for part in ("uvicorn", "celery", "scheduler", "valkey"):
        portal.kill(part)
        assert httpx.get(url, headers=headers).status_code == 200
    wait_until(lambda: portal.try_get("/me"), bool, 60)
    run = submit(portal, submission(tmp_path / "e", "down2"))
    assert run["status"] == "succeeded", run["message"]


@pytest.mark.parametrize("victim", ["celery", "-m node", "scheduler", "uvicorn"])
def test_a_killed_process_loses_no_run(portal: Portal, tmp_path: Path, victim: str) -> None:
    folder = submission(tmp_path / "s", "survive")
    text = (
        (folder / "hekaton.yaml")
        .read_text()
        .replace(
            'echo model > $HEKATON_OUTPUT_DIR/m"',
            f'echo once; sleep 2; echo {victim} > $HEKATON_OUTPUT_DIR/m"',
        )
    )
    (folder / "hekaton.yaml").write_text(text)
    import io

    from contract import snapshot

    archive = io.BytesIO()
    snapshot.write_archive(folder, snapshot.scan(folder), archive)
    made = portal.api(
        "POST",
        "/submissions",
        data={"team": "demo"},
        files={"snapshot": ("s.tgz", archive.getvalue())},
    )
    uid = made.json()["uid"]
    wait_until(
        lambda: portal.get(f"/runs/{uid}/steps"),
        lambda steps: any(s["name"] == "train" and s["status"] == "running" for s in steps),
    )
    portal.kill(victim)
    run = portal.wait_run(uid)
    assert run["status"] == "succeeded", run["message"]
    steps = {s["name"]: s for s in portal.get(f"/runs/{uid}/steps")}
    assert [a["status"] for a in steps["train"]["attempts"]] == ["succeeded"]
    log = portal.api("GET", f"/attempts/{steps['train']['attempts'][0]['uid']}/logs").json()
    assert [line["text"] for line in log["lines"]] == ["once"]
