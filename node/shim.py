"""Holds one process for its whole life: starts it, drains it, limits it, and says how it ended.

Standard library only. Shims are forked from a warm parent (`spawn_on_request`, run as
`python -I -S`), which costs a millisecond instead of an interpreter's start. Orders come through
a socket, never from disk: they hold secret values. A shim outlives its parent and the node;
whoever comes later finds the folder:

    lock           held (flock) while the shim lives
    started.json   written before the process is launched, so that it is launched at most once
    running.json   pid and time, once it runs
    stop.json      written by the node before SIGTERM: why it is to stop
    exit.json      the end of everything, written whole by rename

It is the subreaper of its descendants: when waitpid says ECHILD, every one of them is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import resource
import select
import signal
import socket
import struct
import time
from typing import Any

from contract.logs import LogWriter

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
BLOCK = 1 << 18
WATCH_FIRST_S, WATCH_MAX_S = 0.05, 0.25
DRAIN_S = 2.0  # how long output is still read once everything is gone
HARD_DATA_FACTOR = 4

SIGNAL_WORDS: dict[int, str] = {
    signal.SIGSEGV: "a segmentation fault in native code",
    signal.SIGABRT: "an abort in native code",
    signal.SIGBUS: "a bus error (a mapped file was cut short, or the disk is full)",
    signal.SIGILL: "an instruction this CPU does not have (a wheel built for another CPU)",
    signal.SIGFPE: "an arithmetic fault in native code",
    signal.SIGKILL: "SIGKILL from outside, often the kernel's out-of-memory killer",
    signal.SIGTERM: "SIGTERM from outside",
    signal.SIGINT: "SIGINT from outside",
    signal.SIGPIPE: "a write to a closed pipe",
}


Json = dict[str, Any]


def write_json(path: str, data: Json, durable: bool = True) -> None:
    with open(path + ".new", "w") as file:
        json.dump(data, file)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(path + ".new", path)


def read_json(path: str) -> Json | None:
    try:
        with open(path) as file:
            found: Json = json.load(file)
            return found
    except (FileNotFoundError, ValueError):
        return None


def prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def start_time(pid: int) -> int:
    """Clock ticks since boot at which the process started: with the pid, its identity."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


def children_of(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def descendants() -> list[int]:
    found, waiting = [], [os.getpid()]
    while waiting:
        for child in children_of(waiting.pop()):
            found.append(child)
            waiting.append(child)
    return found


def rss_bytes(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm") as file:
                total += int(file.read().split()[1])
        except (OSError, IndexError, ValueError):
            continue
    return total * resource.getpagesize()


def is_sandbox(pid: int) -> bool:
    """bwrap's own processes take no part in a polite end: a signal to them is a kill of all."""
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip() == "bwrap"
    except OSError:
        return True


class Shim:
    def __init__(self, orders: Json) -> None:
        self.orders = orders
        self.folder = orders["folder"]
        self.limits = orders["limits"]
        self.log = LogWriter(orders["log_dir"], redact=tuple(orders["redact"]))
        self.stopping: str | None = None  # why: Cancelled, Interrupted, TimedOut, OutOfMemory
        self.kill_at: float | None = None
        self.peak = 0
        self.status: int | None = None
        self.main_pid = 0

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def run(self) -> None:
        started = time.time()
        output, child_end = os.pipe()
        os.set_inheritable(child_end, True)
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        asked = read_json(self.path("stop.json"))
        if asked is not None:
            self.finish(
                started, self.exit(None, None, asked["reason"], "It was stopped before it began.")
            )
            return
        self.main_pid = self.launch(child_end)
        os.close(child_end)
        write_json(
            self.path("running.json"), {"pid": self.main_pid, "started_at": started}, durable=False
        )
        self.loop(output, wake_read)
        self.finish(started, self.explain())

    def launch(self, output: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            self.limit()
            os.chdir(self.orders["cwd"])
            argv = self.orders["argv"]
            os.execve(argv[0], argv, self.orders["env"])  # noqa: S606 - that is its work
        except OSError as error:
            os.write(2, f"cannot start: {error.strerror}: {error.filename}\n".encode())
        finally:
            os._exit(126)

    def limit(self) -> None:
        limits = self.limits
        seconds = limits.get("timeout_s")
        if seconds:
            cpu = int(seconds * max(1.0, limits["cpu_m"] / 1000)) + 5
            resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 5))
        data = limits["memory_bytes"] * HARD_DATA_FACTOR + (4 << 30)
        for what, value in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_FSIZE, limits["file_bytes"]),
            (resource.RLIMIT_DATA, data),
            (resource.RLIMIT_NOFILE, 65536),
        ):
            _, hard = resource.getrlimit(what)
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(what, (value, value))
        if self.orders["nice"]:
            os.nice(self.orders["nice"])

    def loop(self, output: int, wake: int) -> None:
        poll = select.poll()
        poll.register(output, select.POLLIN)
        poll.register(wake, select.POLLIN)
        deadline = None
        if self.limits.get("timeout_s"):
            deadline = time.monotonic() + self.limits["timeout_s"]
        interval, watch_at = WATCH_FIRST_S, time.monotonic() + WATCH_FIRST_S
        reading, gone_at = True, None
        while True:
            now = time.monotonic()
            if deadline and now >= deadline and not self.stopping:
                self.stop("TimedOut")
            if self.kill_at and now >= self.kill_at:
                self.kill_all()
                self.kill_at = now + 0.2
            if now >= watch_at and gone_at is None:
                self.watch_memory()
                interval = min(WATCH_MAX_S, interval * 1.5)
                watch_at = now + interval
            if gone_at is not None and (not reading or now - gone_at > DRAIN_S):
                return
            moments = [watch_at, self.kill_at, None if self.stopping else deadline]
            wait = min(m for m in moments if m) - now if gone_at is None else 0.05
            for fd, _ in poll.poll(max(0, wait) * 1000):
                if fd == wake:
                    self.read_signals(wake)
                    continue
                data = os.read(output, BLOCK)
                if data:
                    self.log.write(data)
                else:
                    poll.unregister(output)
                    reading = False
            if gone_at is None and self.reap():
                gone_at = time.monotonic()

    def read_signals(self, wake: int) -> None:
        try:
            numbers = os.read(wake, 4096)
        except BlockingIOError:
            return
        if any(n in (signal.SIGTERM, signal.SIGINT) for n in numbers) and not self.stopping:
            asked = read_json(self.path("stop.json")) or {}
            self.stop(asked.get("reason", "Interrupted"), asked.get("grace_s"))

    def reap(self) -> bool:
        """Collect the dead; true once no descendant is left. When the main process has ended
        the rest is ended too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except OSError as error:
                if error.errno == errno.ECHILD:
                    return True
                raise
            if pid == 0:
                return False
            if pid == self.main_pid:
                self.status = status
                self.kill_all()
                self.kill_at = time.monotonic() + 0.2

    def stop(self, reason: str, grace: float | None = None) -> None:
        self.stopping = reason
        for pid in descendants():
            if not is_sandbox(pid):
                self.signal(pid, signal.SIGTERM)
        grace = self.limits["grace_s"] if grace is None else grace
        self.kill_at = time.monotonic() + grace

    def kill_all(self) -> None:
        for pid in descendants():
            self.signal(pid, signal.SIGKILL)

    def signal(self, pid: int, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def watch_memory(self) -> None:
        used = rss_bytes(descendants())
        self.peak = max(self.peak, used)
        if used > self.limits["memory_bytes"] and self.stopping != "OutOfMemory":
            self.stopping = "OutOfMemory"
            self.kill_all()
            self.kill_at = time.monotonic() + 0.2

    # How it ended ------------------------------------------------------------------------

    def exit(self, code: int | None, number: int | None, reason: str, message: str) -> Json:
        return {"code": code, "signal": number, "reason": reason, "message": message}

    def explain(self) -> Json:
        status = os.waitstatus_to_exitcode(self.status) if self.status is not None else -9
        code: int | None = status
        number: int | None = None
        if status < 0:
            code, number = None, -status
        elif 128 < status < 255 and status - 128 in {int(n) for n in signal.Signals}:
            code, number = None, status - 128
        limit = f"{self.limits['memory_bytes'] / 2**20:.0f} MiB"
        if self.stopping == "OutOfMemory":
            return self.exit(
                None,
                9,
                "OutOfMemory",
                f"It used {self.peak / 2**20:.0f} MiB, more than its limit of {limit}. "
                "Raise resources.memory, or use less.",
            )
        if self.stopping == "TimedOut":
            return self.exit(
                code,
                number,
                "TimedOut",
                f"It ran longer than its timeout of {self.limits['timeout_s']:g} s and was stopped.",
            )
        if self.stopping:
            return self.exit(code, number, self.stopping, "It was stopped on request.")
        if number == signal.SIGXCPU:
            return self.exit(
                None, number, "CpuLimit", "It used more CPU time than its timeout allows."
            )
        if number == signal.SIGXFSZ:
            size = self.limits["file_bytes"] / 2**30
            return self.exit(None, number, "FileTooLarge", f"It wrote a file over {size:g} GiB.")
        if number is not None:
            words = SIGNAL_WORDS.get(number, f"signal {number}")
            return self.exit(None, number, "Signalled", f"It was ended by {words}.")
        if code == 0:
            return self.exit(0, None, "Completed", "It finished.")
        if code == 127:
            return self.exit(127, None, "Error", "The command was not found (exit code 127).")
        if code == 126:
            return self.exit(
                126, None, "CannotStart", "The command cannot be executed (exit code 126)."
            )
        return self.exit(code, None, "Error", f"It exited with code {code}.")

    def finish(self, started: float, ended: Json) -> None:
        self.log.close()
        outputs: list[Json] = []
        digest = None
        if ended["reason"] == "Completed" and self.orders.get("output_dir"):
            outputs, digest = collect(self.orders["output_dir"])
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        finished = time.time()
        write_json(
            self.path("exit.json"),
            {
                "exit": ended,
                "started_at": started,
                "finished_at": finished,
                "usage": {
                    "cpu_s": round(used.ru_utime + used.ru_stime, 4),
                    "max_rss_bytes": max(self.peak, used.ru_maxrss * 1024),
                    "wall_s": round(finished - started, 4),
                },
                "outputs": outputs,
                "outputs_digest": digest,
            },
        )


def collect(root: str) -> tuple[list[Json], str]:
    """Hash every file below `root`, make it read-only, and return the list and its digest.

    Links are left out: they could point at anything."""
    found: list[Json] = []
    for folder, folders, names in os.walk(root, topdown=False):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            digest = hashlib.sha256()
            with open(path, "rb") as file:
                while True:
                    block = file.read(1 << 20)
                    if not block:
                        break
                    digest.update(block)
            os.chmod(path, 0o555 if os.stat(path).st_mode & 0o111 else 0o444)
            found.append(
                {
                    "path": os.path.relpath(path, root),
                    "size": os.path.getsize(path),
                    "sha256": digest.hexdigest(),
                }
            )
        os.chmod(folder, 0o555)  # noqa: S103 - readable by the steps that need it
    found.sort(key=lambda f: f["path"])
    whole = hashlib.sha256()
    for f in found:
        whole.update(f"- {f['sha256']} {f['size']} {f['path']}\n".encode())
    return found, whole.hexdigest()


def run(orders: Json) -> None:
    """One shim, from its lock to exit.json. Does nothing where it was done before."""
    folder = orders["folder"]
    os.umask(0o027)
    lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    started = os.path.join(folder, "started.json")
    if os.path.exists(started) or os.path.exists(os.path.join(folder, "exit.json")):
        return
    write_json(started, identity())
    Shim(orders).run()


def identity() -> Json:
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read().strip()
    return {"boot_id": boot, "pid": os.getpid(), "start_time": start_time(os.getpid())}


def spawn_on_request(channel: socket.socket) -> None:
    """Read orders (a 4-byte length, then JSON) until the other side closes; fork a shim for
    each and answer its pid as 4 bytes."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps shims
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A shim may be told to stop before it listens: such a signal waits until it does.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    null = os.open(os.devnull, os.O_RDWR)
    while True:
        head = _exactly(channel, 4)
        if head is None:
            return
        body = _exactly(channel, struct.unpack("!I", head)[0])
        if body is None:
            return
        pid = os.fork()
        if pid:
            channel.sendall(struct.pack("!I", pid))
            continue
        try:
            channel.close()
            os.setsid()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for fd in (0, 1):
                os.dup2(null, fd)
            run(json.loads(body))
        finally:
            os._exit(0)


def _exactly(channel: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        part = channel.recv(size - len(data))
        if not part:
            return None
        data += part
    return data
