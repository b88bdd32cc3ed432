"""A portal in memory, speaking the API over real HTTP on loopback, for tests of the command.

It keeps what the command sends and answers in the shapes of docs/openapi.json. Tests move its
runs on by hand (`finish`) and can take it down (`stop`, `start` on the same port).
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TOKEN = "hk_good"
NOW = "2026-01-02T03:04:05.000006Z"
PROJECT = {
    "uid": "0" * 25 + "P",
    "slug": "wine",
    "name": "wine",
    "team": "acme",
    "path": "acme/wine",
}


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body or b"null")


@dataclass
class Portal:
    """The state; lists are newest first."""

    requests: list[Request] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    steps: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=dict)
    failures: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def start_run(self, message: str = "") -> dict[str, Any]:
        number = len(self.runs) + 1
        uid = f"{number:026d}"
        run = {
            "uid": uid, "number": number, "project": PROJECT, "status": "running", "reason": "",
            "message": "", "author": "user:ana", "params": {}, "data": [], "metrics": {},
            "submission": {"uid": uid, "number": number, "message": message}, "created_at": NOW,
            "duration_s": None, "model_version": None,
        }  # fmt: skip
        attempt = {"uid": f"{number:025d}A", "number": 1, "status": "running"}
        self.runs.insert(0, run)
        self.steps[uid] = [
            {
                "uid": uid, "name": "train", "kind": "user", "status": "running", "message": "",
                "result": {}, "attempts": [attempt], "cached_from": None, "duration_s": None,
            }
        ]  # fmt: skip
        self.logs[attempt["uid"]] = ["loading", "[red]not markup[/]", "done"]
        return run

    def finish(
        self, run: dict[str, Any], status: str, *, kind: str = "user", words: str = ""
    ) -> None:
        with self.changed:
            run.update(status=status, message=words, duration_s=1.5)
            step = self.steps[run["uid"]][0]
            step.update(status="failed" if status == "failed" else "succeeded", kind=kind)
            step.update(message=words, duration_s=1.2)
            self.changed.notify_all()

    def sent(self, method: str, path: str) -> list[Request]:
        return [r for r in self.requests if r.method == method and r.path == path]


Handler = Callable[[Request, "re.Match[str]"], Any]


class ApiServer:
    def __init__(self) -> None:
        self.portal = Portal()
        self.port = 0
        self.server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen; on the same port as before after a `stop`."""
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def stop(self) -> None:
        if self.server is not None:
            server, self.server = self.server, None
            with self.portal.changed:
                self.portal.changed.notify_all()
            server.shutdown()
            server.server_close()

    # What it answers

    def answer(self, request: Request) -> tuple[int, Any]:
        portal = self.portal
        if portal.failures:
            return portal.failures.pop(0)
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, _problem(401, "bad_credentials", "This token is not valid.")
        for method, pattern, handle in self.routes():
            found = re.fullmatch(pattern, request.path)
            if found and method == request.method:
                return handle(request, found)  # type: ignore[no-any-return]
        return 404, _problem(404, "not_found", "There is no such thing, or you may not see it.")

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "me", lambda _r, _m: (200, {
                "name": "ana", "scope": "submit",
                "teams": [{"team": {"uid": "T", "slug": "acme", "name": "Acme"}, "role": "owner"}],
            })),
            ("GET", "projects", lambda r, _m: _page([PROJECT] if r.query.get("slug") == "wine" else [])),
            ("POST", "submissions", lambda _r, _m: (201, self.portal.start_run())),
            ("POST", "datasets", lambda r, _m: (201, {"uid": "D" * 26, "slug": r.json["slug"]})),
            ("POST", "datasets/D+/versions", lambda _r, _m: (201, {
                "ref": "wine/train@1", "files": [{"path": "a.csv"}], "size": 3,
            })),
            ("GET", "runs", self.runs),
            ("GET", "runs/([0-9A-Z]{26})", self.run),
            ("GET", "runs/([0-9A-Z]{26})/steps", lambda _r, m: (200, self.portal.steps[m[1]])),
            ("POST", "runs/([0-9A-Z]{26})/cancel", self.cancel),
            ("GET", "attempts/([0-9A-Z]{26})/logs", self.log),
        ]  # fmt: skip

    def runs(self, request: Request, _match: re.Match[str]) -> tuple[int, Any]:
        number = request.query.get("number")
        rows = [r for r in self.portal.runs if number in (None, str(r["number"]))]
        return _page(rows[: int(request.query.get("limit", 50))])

    def run(self, _request: Request, match: re.Match[str]) -> tuple[int, Any]:
        found = next((r for r in self.portal.runs if r["uid"] == match[1]), None)
        return (200, found) if found else (404, _problem(404, "not_found", "No such run."))

    def cancel(self, request: Request, match: re.Match[str]) -> tuple[int, Any]:
        _, run = self.run(request, match)
        run["status"] = "cancelling"
        return 202, run

    def log(self, request: Request, match: re.Match[str]) -> tuple[int, Any]:
        lines = self.portal.logs[match[1]]
        after = int(request.query.get("after", 0))
        page = [
            {"number": i, "at": 0.0, "text": text} for i, text in enumerate(lines, 1) if i > after
        ]
        return 200, {
            "lines": page, "next": len(lines), "complete": True, "total_lines": len(lines),
            "dropped_lines": 0, "dropped_bytes": 0,
        }  # fmt: skip


def _handler(server: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def serve(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else self._chunks()
            request = Request(
                self.command,
                parts.path.removeprefix("/api/v1/"),
                dict(parse_qsl(parts.query)),
                {name.lower(): value for name, value in self.headers.items()},
                body,
            )
            server.portal.requests.append(request)
            if request.path == "events":
                self._events()
                return
            status, answer = server.answer(request)
            data = json.dumps(answer).encode()
            self.send_response(status)
            kind = "application/problem+json" if status >= 400 else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

        def _chunks(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return b""
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _events(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            own = server.server
            try:
                self.wfile.write(b": hello\n\n")
                self.wfile.flush()
                while server.server is own:
                    with server.portal.changed:
                        server.portal.changed.wait(5)
                    self.wfile.write(b'data: {"topic": "run"}\n\n')
                    self.wfile.flush()
            except OSError:
                return

    return Handler


def _page(rows: list[Any]) -> tuple[int, Any]:
    return 200, {"results": rows, "next": None, "previous": None}


def _problem(status: int, code: str, detail: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": "", "status": status, "code": code, "detail": detail}
