"""Real registry servers on loopback (Debian's docker-registry), and a flaky way to them."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import httpx
import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PROGRAM = shutil.which("docker-registry")
USER, PASSWORD = "builder", "s3cret words"
PASSWORD_BCRYPT = "$2b$04$A3175rOEiRXr5k32GTOKTORcpFIApS.kppledbNE2aTPaLH5YtLiO"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def registry(folder: Path, auth: str = "") -> Iterator[str]:
    """`127.0.0.1:port` of a running registry. `auth` is YAML for its `auth:` key."""
    assert PROGRAM is not None
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = folder / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: {level: warn}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n{auth}"
    )
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "serve", str(config)], stdout=log, stderr=log)
    try:
        _wait_for(port, process, folder / "registry.log")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/v2/", timeout=1)
            return
        except httpx.TransportError:
            time.sleep(0.02)
    raise AssertionError(log.read_text())


def password_auth(folder: Path, user: str = USER) -> str:
    """`auth:` for user name and password."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "htpasswd").write_text(f"{user}:{PASSWORD_BCRYPT}\n")
    return f"auth: {{htpasswd: {{realm: test, path: '{folder / 'htpasswd'}'}}}}\n"


@contextmanager
def token_auth(folder: Path) -> Iterator[str]:
    """`auth:` for bearer tokens, from a token server that runs meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test issuer")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "issuer.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    der = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()

    def grant(handler: BaseHTTPRequestHandler) -> tuple[int, dict[str, Any]]:
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if handler.headers.get("Authorization") != f"Basic {expected}":
            return 401, {"details": "who are you?"}
        query = parse_qs(urlparse(handler.path).query)
        kind, repository, actions = query["scope"][0].split(":")
        at = datetime.now(UTC)
        claims = {
            "iss": "issuer",
            "aud": query["service"][0],
            "sub": USER,
            "exp": at + timedelta(minutes=5),
            "nbf": at - timedelta(seconds=5),
            "iat": at,
            "jti": "1",
            "access": [{"type": kind, "name": repository, "actions": actions.split(",")}],
        }
        return 200, {"token": jwt.encode(claims, key, algorithm="ES256", headers={"x5c": [der]})}

    with _server(grant) as port:
        yield (
            f"auth: {{token: {{realm: 'http://127.0.0.1:{port}/token', service: registry, "
            f"issuer: issuer, rootcertbundle: '{pem}'}}}}\n"
        )


class Flaky:
    """A way to a registry that fails as told: `failures` maps an HTTP method to how many of its
    next requests end with 503 (or, with `drop`, with a closed connection); the next `corrupt`
    answers with a blob have one changed byte; with `elsewhere`, blobs are redirected to there."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.failures: dict[str, int] = {}
        self.drop = False
        self.corrupt = 0
        self.elsewhere = ""
        self.seen: list[tuple[str, str]] = []

    @contextmanager
    def running(self) -> Iterator[str]:
        flaky = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                flaky.seen.append((self.command, self.path))
                if flaky.failures.get(self.command, 0) > 0:
                    flaky.failures[self.command] -= 1
                    if flaky.drop:
                        self.connection.shutdown(socket.SHUT_RDWR)
                        self.close_connection = True
                        return
                    self.send_response(503)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                is_blob = self.command == "GET" and "/blobs/" in self.path
                if is_blob and flaky.elsewhere:
                    self.send_response(307)
                    self.send_header("Location", f"{flaky.elsewhere}?at={self.path}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                headers = {k: v for k, v in self.headers.items() if k.lower() != "content-length"}
                answer = httpx.request(
                    self.command, f"http://{flaky.target}{self.path}", content=body, headers=headers
                )
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in ("transfer-encoding", "content-encoding", "connection"):
                        self.send_header(name, value)
                self.end_headers()
                content = answer.content
                if is_blob and flaky.corrupt:
                    flaky.corrupt -= 1
                    content = bytes([content[0] ^ 1]) + content[1:]
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_one

            def log_message(self, *_: object) -> None:
                pass

        with _serving(Handler) as port:
            yield f"127.0.0.1:{port}"


@contextmanager
def blob_store(host: str) -> Iterator[tuple[str, list[str | None]]]:
    """Where a registry may redirect to: gives the blobs of `host` under `?at=PATH`, and the
    Authorization headers that it saw."""
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            path = parse_qs(urlparse(self.path).query)["at"][0]
            content = httpx.get(f"http://{host}{path}", auth=(USER, PASSWORD)).content
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler) as port:
        yield f"http://127.0.0.1:{port}/blob", seen


@contextmanager
def _server(answer: Any) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(self)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler) as port:
        yield port


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
