"""A Cloud Build server on loopback: the public gRPC API, and builds that are really run.

Sources are fetched from and results and logs written to a storage emulator; steps run as
processes in a workspace of their own, with a metadata server that gives a token. What a step's
image would bring is this checkout and this interpreter.

Source: https://cloud.google.com/build/docs/api/reference/rpc/google.devtools.cloudbuild.v1
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.devtools import cloudbuild_v1 as api
from google.longrunning import operations_pb2

ROOT = Path(__file__).resolve().parents[3]
SERVICE = "google.devtools.cloudbuild.v1.CloudBuild"
Status = api.Build.Status
ACTIVE = (Status.PENDING, Status.QUEUED, Status.WORKING)


@dataclass
class Faults:
    """What goes wrong. `refuse` maps a method to the codes of its next answers; `lose` counts
    answers of CreateBuild that are lost after the build was made; while `hold` is set, builds stay
    queued; `end_with` makes builds end with a status without running."""

    refuse: dict[str, list[grpc.StatusCode]] = field(default_factory=dict)
    lose: int = 0
    hold: threading.Event = field(default_factory=threading.Event)
    end_with: Any = None


class CloudBuild:
    def __init__(self, storage_url: str, *, token: str, warm: Path | None = None) -> None:
        """`token` is what the metadata server gives; `warm` is a download cache for the tool."""
        self.storage = storage.Client(
            project="fake",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": storage_url},
        )
        self.token = token
        self.warm = warm
        self.faults = Faults()
        self.builds: dict[str, Any] = {}
        self.calls: list[str] = []
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.RLock()
        self._metadata = ""

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serve; yields `host:port`."""
        server = grpc.server(ThreadPoolExecutor(8))
        server.add_generic_rpc_handlers((self._handlers(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with self._metadata_server() as self._metadata:
            try:
                yield f"127.0.0.1:{port}"
            finally:
                self.faults.hold.clear()
                for build in list(self.builds.values()):
                    self._end(build.id, Status.CANCELLED)
                for thread in self._threads:
                    thread.join(20)
                server.stop(0)

    # API ---------------------------------------------------------------------------------

    def _handlers(self) -> Any:
        def method(name: str, call: Any, request: Any, answer: Any) -> Any:
            def guarded(message: Any, context: grpc.ServicerContext) -> Any:
                self.calls.append(name)
                codes = self.faults.refuse.get(name)
                if codes:
                    context.abort(codes.pop(0), f"the fake refuses {name}")
                return call(message, context)

            return grpc.unary_unary_rpc_method_handler(
                guarded, request_deserializer=request.deserialize, response_serializer=answer
            )

        operation = operations_pb2.Operation.SerializeToString
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "CreateBuild": method(
                    "CreateBuild", self._create, api.CreateBuildRequest, operation
                ),
                "GetBuild": method("GetBuild", self._get, api.GetBuildRequest, api.Build.serialize),
                "ListBuilds": method(
                    "ListBuilds",
                    self._list,
                    api.ListBuildsRequest,
                    api.ListBuildsResponse.serialize,
                ),
                "CancelBuild": method(
                    "CancelBuild", self._cancel, api.CancelBuildRequest, api.Build.serialize
                ),
            },
        )

    def _create(self, request: Any, context: grpc.ServicerContext) -> Any:
        build = api.Build(request.build)
        if not build.steps:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "build.steps: at least one is needed")
        if build.service_account and not (build.logs_bucket or build.options.logging):
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                "if 'build.service_account' is specified, the build must specify logging",
            )
        build.id = str(uuid.uuid4())
        build.name = f"{request.parent}/builds/{build.id}"
        build.project_id = request.project_id
        build.create_time = datetime.now(UTC)
        build.status = Status.QUEUED
        with self._lock:
            self.builds[build.id] = build
        thread = threading.Thread(target=self._run, args=(build.id,))
        self._threads.append(thread)
        thread.start()
        if self.faults.lose:
            self.faults.lose -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost")
        made = operations_pb2.Operation(name=f"operations/build/{request.project_id}/{build.id}")
        made.metadata.Pack(api.BuildOperationMetadata.pb(api.BuildOperationMetadata(build=build)))
        return made

    def _get(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._found(request, context)

    def _list(self, request: Any, _context: grpc.ServicerContext) -> Any:
        wanted = re.fullmatch(r'tags="?([^"]*)"?', request.filter)
        with self._lock:
            found = [b for b in self.builds.values() if not wanted or wanted.group(1) in b.tags]
        found.sort(key=lambda build: build.create_time, reverse=True)
        return api.ListBuildsResponse(builds=found)

    def _cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        build = self._found(request, context)
        if build.status not in ACTIVE:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "build is not in progress")
        self._end(build.id, Status.CANCELLED)
        return build

    def _found(self, request: Any, context: grpc.ServicerContext) -> Any:
        build = self.builds.get(request.id or request.name.rpartition("/")[2])
        if build is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "Requested entity was not found.")
        return build

    # Running -----------------------------------------------------------------------------

    def _run(self, build_id: str) -> None:
        build = self.builds[build_id]
        while self.faults.hold.is_set() and build.status in ACTIVE:
            time.sleep(0.01)
        if self.faults.end_with is not None:
            self._end(build_id, self.faults.end_with)
            return
        with self._lock:
            if build.status not in ACTIVE:
                return
            build.status, build.start_time = Status.WORKING, datetime.now(UTC)
        with tempfile.TemporaryDirectory(prefix="fake-workspace-") as folder:
            workspace = Path(folder)
            try:
                status = self._steps(build, workspace)
                if status == Status.SUCCESS:
                    self._bring_out(build, workspace)
            except Exception as error:
                build.failure_info = api.Build.FailureInfo(detail=f"fake: {error!r}")
                status = Status.FAILURE
            self._end(build_id, status)

    def _steps(self, build: Any, workspace: Path) -> Any:
        source = build.source.storage_source
        packed = self.storage.bucket(source.bucket).blob(source.object_).download_as_bytes()
        with tarfile.open(fileobj=BytesIO(packed), mode="r:gz") as tar:
            tar.extractall(workspace, filter="data")
        if self.warm is not None:
            (workspace / "home" / "cache").mkdir(parents=True, exist_ok=True)
            (workspace / "home" / "cache" / "uv").symlink_to(self.warm)
        log = bytearray(b"FETCHSOURCE\nBUILD\n")
        deadline = time.monotonic() + build.timeout.total_seconds()
        for number, step in enumerate(build.steps):
            code = self._step(build, number, step, workspace, log, deadline)
            if build.status not in ACTIVE:
                return build.status
            if code is None:
                return Status.TIMEOUT
            if code and not step.allow_failure:
                return Status.FAILURE
        log += b"PUSH\nDONE\n"
        self._put_log(build, log)
        return Status.SUCCESS

    def _step(
        self, build: Any, number: int, step: Any, workspace: Path, log: bytearray, deadline: float
    ) -> int | None:
        program = {"python": sys.executable}.get(step.entrypoint, step.entrypoint)
        process = subprocess.Popen(
            [program, *step.args],
            cwd=workspace,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
                "GCE_METADATA_HOST": self._metadata,
                **{k: v for k, v in os.environ.items() if k.startswith(("SSL_", "UV_", "PIP_"))},
                **dict(line.split("=", 1) for line in step.env),
            },
        )
        with self._lock:
            self._processes[build.id] = process
        assert process.stdout is not None
        for line in process.stdout:
            log += f'Step #{number} - "{step.id}": '.encode() + line
            self._put_log(build, log)
            if time.monotonic() > deadline:
                self._kill(build.id)
                return None
        return process.wait()

    def _bring_out(self, build: Any, workspace: Path) -> None:
        wanted = build.artifacts.objects
        if not wanted.location:
            return
        bucket, _, prefix = wanted.location.removeprefix("gs://").partition("/")
        files = [file for pattern in wanted.paths for file in workspace.glob(pattern)]
        if not files:
            raise FileNotFoundError(f"no artifact matches {list(wanted.paths)}")
        for file in files:
            self.storage.bucket(bucket).blob(prefix + file.name).upload_from_filename(str(file))

    def _put_log(self, build: Any, log: bytearray) -> None:
        bucket, _, prefix = build.logs_bucket.removeprefix("gs://").partition("/")
        name = "/".join(filter(None, [prefix, f"log-{build.id}.txt"]))
        self.storage.bucket(bucket).blob(name).upload_from_string(bytes(log))

    def _end(self, build_id: str, status: Any) -> None:
        with self._lock:
            build = self.builds[build_id]
            if build.status in ACTIVE:
                build.status, build.finish_time = status, datetime.now(UTC)
        if status == Status.CANCELLED:
            self._kill(build_id)

    def _kill(self, build_id: str) -> None:
        process = self._processes.get(build_id)
        if process is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    @contextmanager
    def _metadata_server(self) -> Iterator[str]:
        token = self.token

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.headers.get("Metadata-Flavor") == "Google" and self.path.endswith(
                    "/instance/service-accounts/default/token"
                )
                body = json.dumps({"access_token": token, "expires_in": 3599}).encode()
                self.send_response(200 if known else 403)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
