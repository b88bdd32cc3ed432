"""Runs one attempt inside a container that the portal does not own.

Standard library only, one file: it is mounted into the pod (or written into the image) next to
`contract/logs.py` as `hekaton_logs.py`. It fetches code, data and inputs, makes the environment
where the image has none, runs the command with the contract's variables, and brings back logs,
metrics and outputs while the command runs and after it. What happened is `result.json`.

Usage: python3 runner.py /path/to/job.json
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

import hekaton_logs  # type: ignore[import-not-found]

TRIES = 6
TIMEOUT_S = 60
SYNC_EVERY_S = 1.0
NETWORK_ERRORS = (urllib.error.URLError, ConnectionError, TimeoutError, OSError)


class Failed(Exception):
    """Something before or after the command failed. `platform`: it was not the user's fault."""

    def __init__(self, reason: str, message: str, platform: bool = True) -> None:
        super().__init__(message)
        self.reason = reason
        self.platform = platform


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirects are followed by hand, so that a PUT is sent again with its body."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


OPENER = urllib.request.build_opener(NoRedirect)


def request(method: str, url: str, path: str | None = None, data: bytes | None = None) -> Any:
    """One request with retries; `path` is a file to send. Returns the open response."""
    for attempt in range(1, TRIES + 1):
        try:
            return _once(method, url, path, data)
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 429):
                raise Failed("StorageRefused", f"{method} was answered {error.code}") from error
            failure: Exception = error
        except NETWORK_ERRORS as error:
            failure = error
        if attempt < TRIES:
            time.sleep(min(0.2 * 2**attempt, 5))
    raise Failed("StorageUnreachable", f"{method} failed {TRIES} times: {failure}")


def _once(method: str, url: str, path: str | None, data: bytes | None) -> Any:
    for _ in range(5):
        with contextlib.ExitStack() as stack:
            body: IO[bytes] | bytes | None = data
            headers = {}
            if path is not None:
                body = stack.enter_context(open(path, "rb"))
                headers["Content-Length"] = str(os.fstat(body.fileno()).st_size)
                headers["Content-Type"] = "application/octet-stream"
            sent = urllib.request.Request(url, data=body, method=method, headers=headers)  # noqa: S310
            try:
                return OPENER.open(sent, timeout=TIMEOUT_S)
            except urllib.error.HTTPError as error:
                if error.code not in (307, 308):
                    raise
                url = urllib.parse.urljoin(url, error.headers["Location"])
    raise Failed("StorageRefused", "too many redirects")


class Store:
    """One granted prefix of the object store."""

    def __init__(self, base: str, token: str) -> None:
        self.base = f"{base}/{token}"

    def url(self, path: str = "") -> str:
        return f"{self.base}/{urllib.parse.quote(path)}" if path else self.base

    def listing(self) -> list[dict[str, Any]]:
        with request("GET", self.url() + "?list") as response:
            found: list[dict[str, Any]] = json.load(response)["objects"]
            return found

    def fetch(self, path: str, target: str) -> None:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        for attempt in range(1, TRIES + 1):
            try:
                with request("GET", self.url(path)) as response, open(target, "wb") as file:
                    shutil.copyfileobj(response, file, 1 << 20)
                return
            except NETWORK_ERRORS as error:
                if attempt == TRIES:
                    raise Failed("StorageUnreachable", f"cannot fetch {path}: {error}") from error
                time.sleep(attempt)

    def send(self, path: str, source: str) -> None:
        request("PUT", self.url(path), path=source).close()

    def send_bytes(self, path: str, data: bytes) -> None:
        request("PUT", self.url(path), data=data).close()


class Mirror(threading.Thread):
    """Copies files of a folder to the store whenever they have changed."""

    def __init__(self, folders: list[tuple[str, Store, str]]) -> None:
        super().__init__(daemon=True)
        self.folders = folders
        self.sent: dict[str, tuple[int, int]] = {}
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(SYNC_EVERY_S):
            try:
                self.sync()
            except Failed as error:
                print(f"runner: logs are late: {error}", file=sys.stderr)

    def sync(self) -> None:
        for folder, store, prefix in self.folders:
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
                path = os.path.join(folder, name)
                if not os.path.isfile(path):
                    continue
                stat = os.stat(path)
                mark = (stat.st_mtime_ns, stat.st_size)
                if self.sent.get(path) != mark:
                    store.send(prefix + name, path)
                    self.sent[path] = mark


class Run:
    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.paths: dict[str, str] = job["paths"]
        self.process: subprocess.Popen[bytes] | None = None
        self.cancelled = False
        self.timed_out = False
        self.logs = hekaton_logs.LogWriter(self.paths["logs"], redact=tuple(self.secrets()))
        self.store = Store(job["objects"], job["grants"]["attempt"])

    def secrets(self) -> list[str]:
        return [os.environ[name] for name in self.job["secret_names"] if os.environ.get(name)]

    def say(self, text: str) -> None:
        self.logs.write(text.encode() + b"\n")
        print(text, flush=True)

    def fetch(self) -> None:
        """Code, data and inputs, several files at a time."""
        base = self.job["objects"]
        archive = os.path.join(self.paths["scratch"], "code.tar.gz")
        Store(base, self.job["grants"]["snapshot"]).fetch("", archive)
        with tarfile.open(archive) as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(self.paths["code"], filter="data")
            else:
                tar.extractall(self.paths["code"])  # noqa: S202 - our own canonical archive
        os.unlink(archive)
        with ThreadPoolExecutor(8) as pool:
            waiting = []
            for tree in self.job["trees"]:
                store = Store(base, tree["grant"])
                os.makedirs(tree["target"], exist_ok=True)
                for item in store.listing():
                    target = os.path.join(tree["target"], item["path"])
                    waiting.append(pool.submit(store.fetch, item["path"], target))
            for one in waiting:
                one.result()

    def make_environment(self) -> None:
        """Install the lock with pip, where the image does not bring the environment."""
        if "lock" not in self.job:
            return
        env = self.paths["env"]
        lock = os.path.join(self.paths["scratch"], "requirements.lock")
        with open(lock, "w") as file:
            file.write(self.job["lock"])
        self.say("Making the environment ...")
        steps = [[sys.executable, "-m", "venv", "--clear", env]]
        if self.job["lock"].strip():
            pip = [os.path.join(env, "bin", "python"), "-m", "pip", "install", "-q"]
            steps.append([*pip, "--disable-pip-version-check", "--no-input", "-r", lock])
        for step in steps:
            done = subprocess.run(step, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode:
                self.logs.write(done.stdout)
                sys.stdout.buffer.write(done.stdout)
                raise Failed("EnvironmentFailed", "The environment could not be made; see the log.")

    def run(self) -> dict[str, Any]:
        """Fetch, prepare, run; logs and metrics are mirrored throughout."""
        mirror = Mirror(
            [
                (self.paths["logs"], Store(self.job["objects"], self.job["grants"]["logs"]), ""),
                (self.paths["metrics"], self.store, ""),
            ]
        )
        mirror.start()
        try:
            self.fetch()
            self.make_environment()
            started = time.time()
            status = self.execute()
        finally:
            self.logs.close()
            mirror.ended.set()
            mirror.join()
            mirror.sync()
        return self.result(status, started)

    def execute(self) -> int:
        """The command's wait status: an exit code, or a negative signal number."""
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", self.job["command"]],
            cwd=self.paths["code"],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        if self.cancelled:
            self.stop()
        timer = threading.Timer(self.job["timeout_s"], self.time_out)
        timer.daemon = True
        timer.start()
        self.drain()
        status = self.process.wait()
        timer.cancel()
        return status

    def environment(self) -> dict[str, str]:
        params = os.path.join(self.paths["scratch"], "params.json")
        with open(params, "w") as file:
            json.dump(self.job["params"], file)
        kept = (*self.job["secret_names"], "TZ", "SSL_CERT_FILE", "NVIDIA_VISIBLE_DEVICES")
        search = os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            **self.job["env"],
            "HEKATON_PARAMS": params,
            "PATH": self.paths["env"] + "/bin:" + search,
        }

    def drain(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        while True:
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            if not data:
                return
            self.logs.write(data)
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def stop(self, *_: Any) -> None:
        """SIGTERM to the whole group, SIGKILL after the grace."""
        self.cancelled = self.cancelled or not self.timed_out
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        killer = threading.Timer(self.job["grace_s"], self.kill)
        killer.daemon = True
        killer.start()

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def time_out(self) -> None:
        self.timed_out = True
        self.stop()

    def result(self, status: int, started: float) -> dict[str, Any]:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        result: dict[str, Any] = {
            "code": status if status >= 0 else None,
            "signal": -status if status < 0 else None,
            "started_at": started,
            "finished_at": time.time(),
            "cpu_s": used.ru_utime + used.ru_stime,
            "max_rss_bytes": used.ru_maxrss * 1024,
            "cancelled": self.cancelled,
            "timed_out": self.timed_out,
            "outputs": [],
        }
        if status == 0 and not self.cancelled and not self.timed_out:
            result["outputs"] = self.send_outputs()
        return result

    def send_outputs(self) -> list[dict[str, Any]]:
        root = self.paths["output"]
        files = []
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    files.append(path)
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda path: self.send_output(root, path), files))

    def send_output(self, root: str, path: str) -> dict[str, Any]:
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        relative = os.path.relpath(path, root)
        self.store.send("output/" + relative, path)
        return {"path": relative, "size": os.path.getsize(path), "sha256": digest.hexdigest()}


def main(job_path: str) -> int:
    with open(job_path) as file:
        job = json.load(file)
    for path in job["paths"].values():
        os.makedirs(path, exist_ok=True)
    run = Run(job)
    signal.signal(signal.SIGTERM, run.stop)
    signal.signal(signal.SIGINT, run.stop)
    try:
        result = run.run()
    except Failed as error:
        result = {
            "code": None,
            "signal": None,
            "reason": error.reason,
            "message": str(error),
            "platform": error.platform,
            "finished_at": time.time(),
            "outputs": [],
        }
        print(f"runner: {error}", file=sys.stderr)
    run.store.send_bytes("result.json", json.dumps(result).encode())
    if result["code"] is not None:
        return int(result["code"])
    return 128 + result["signal"] if result["signal"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
