"""Virtual environments, addressed by content: `<home>/envs/<key>`.

The key is the SHA-256 of lock, interpreter and platform. An environment appears whole, by one
rename under a lock file, and is read-only from then on; what an interrupted build left is
removed by the next one. Files are copies, never hard links into uv's cache. Bytecode is kept
beside the sources for a fast start on this machine; image layers leave it out.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from pipelines.builders.local import documents
from pipelines.builders.local.documents import PackageName, PrepareReport
from pipelines.builders.local.interpreters import Interpreter
from pipelines.builders.local.requirements import Requirements
from pipelines.builders.local.uv import SourceBuilds, Uv

LAYOUT = "1"  # part of the key: raise it when environments are made differently
RECORD = "hekaton-environment.json"


def environment_key(lock: str, interpreter: Interpreter) -> str:
    text = "\0".join((LAYOUT, interpreter.identity, lock))
    return hashlib.sha256(text.encode()).hexdigest()


def environment_path(home: Path, key: str) -> Path:
    return home / "envs" / key


def find(home: Path, key: str) -> PrepareReport | None:
    """The environment if it is complete. No network, a few file reads."""
    try:
        return documents.read(PrepareReport, environment_path(home, key) / RECORD)
    except (OSError, ValueError):
        return None


def create(
    home: Path,
    *,
    uid: str,
    lock: str,
    interpreter: Interpreter,
    source_builds: SourceBuilds = "confined",
    compile_bytecode: bool = True,
    what: str = "the requirements",
) -> PrepareReport:
    """Make the environment, or wait for whoever is making it and use theirs.

    Raises:
        SubmissionFault, PlatformFault: it cannot be made; nothing half is left.
    """
    key = environment_key(lock, interpreter)
    with _locked(home, key):
        if (present := find(home, key)) is not None:
            return present
        _remove_leftovers(home, key)
        partial = environment_path(home, f"{key}.partial-{uid}")
        try:
            _install(home, partial, lock, interpreter, source_builds, compile_bytecode, what)
            report = PrepareReport(
                key=key,
                python=interpreter.version,
                lock=lock,
                packages=installed(partial),
                size_bytes=_size(partial),
            )
            documents.write(report, partial / RECORD)
            make_read_only(partial)
            os.rename(partial, environment_path(home, key))
        except BaseException:
            remove_tree(partial)
            raise
        return report


def installed(environment: Path) -> tuple[PackageName, ...]:
    """The distributions in an environment, by normalised name."""
    found = {
        dist.metadata["Name"]: dist.version
        for dist in metadata.distributions(path=[str(p) for p in site_packages(environment)])
    }
    return tuple(
        PackageName(name=name, version=found[name]) for name in sorted(found, key=str.lower)
    )


def site_packages(environment: Path) -> list[Path]:
    return sorted(environment.glob("lib/python3*/site-packages"))


# Locks that were resolved before ---------------------------------------------------------


def remembered_lock(
    home: Path, requirements: Requirements, interpreter: Interpreter, *, max_age_s: float
) -> str | None:
    """The lock that the same requirements resolved to on this interpreter not long ago."""
    try:
        found = json.loads(_memory(home, requirements, interpreter).read_text())
        return str(found["lock"]) if time.time() - float(found["at"]) <= max_age_s else None
    except (OSError, ValueError, KeyError):
        return None


def remember_lock(
    home: Path, requirements: Requirements, interpreter: Interpreter, lock: str
) -> None:
    path = _memory(home, requirements, interpreter)
    path.parent.mkdir(parents=True, exist_ok=True)
    documents.write_json({"lock": lock, "at": time.time()}, path)


def _memory(home: Path, requirements: Requirements, interpreter: Interpreter) -> Path:
    name = hashlib.sha256(f"{requirements.digest}\0{interpreter.identity}".encode()).hexdigest()
    return home / "cache" / "locks" / f"{name}.json"


# Files -----------------------------------------------------------------------------------


def _install(
    home: Path,
    target: Path,
    lock: str,
    interpreter: Interpreter,
    source_builds: SourceBuilds,
    compile_bytecode: bool,
    what: str,
) -> None:
    uv = Uv(home, source_builds)
    target.parent.mkdir(parents=True, exist_ok=True)
    uv.run(
        *("venv", "--quiet", "--relocatable", "--no-project"),
        *("--python", interpreter.path, str(target)),
        what=what,
    )
    if not lock.strip():
        return
    (target / "lock.txt").write_text(lock)
    cache = target.with_name(f"{target.name}.cache")
    try:
        uv.run_wheels_first(
            *("pip", "sync", "--python", str(target / "bin" / "python")),
            *("--link-mode", "copy", "--require-hashes", "--strict", str(target / "lock.txt")),
            what=what,
            cwd=target,
            scratch=cache,
            interpreter=interpreter.path,
            writable=[target],
        )
    finally:
        remove_tree(cache)
    if compile_bytecode:
        _compile(target)


def _compile(environment: Path) -> None:
    """Bytecode that is not checked against its source again: both are read-only from now on.

    A file that does not compile (a template, another Python's syntax) is the package's own
    affair, and so is not a failure.
    """
    subprocess.run(
        [
            *(str(environment / "bin" / "python"), "-I", "-m", "compileall", "-q", "-q", "-j", "0"),
            *("--invalidation-mode", "unchecked-hash"),
            *("-x", r"/tests?/"),  # half of the large packages, and nobody imports it
            *("-s", str(environment), "-p", "/opt/hekaton/env"),
            *map(str, site_packages(environment)),
        ],
        stdin=subprocess.DEVNULL,
        check=False,
    )


@contextmanager
def _locked(home: Path, key: str) -> Iterator[None]:
    """Held by the kernel for this process: a killed build cannot keep it."""
    folder = home / "envs" / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / key).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_leftovers(home: Path, key: str) -> None:
    """What killed builds left, of this key (whose lock we hold) and of any that nobody makes."""
    for leftover in (home / "envs").glob("*.partial-*"):
        other = leftover.name.partition(".partial-")[0]
        if other == key:
            remove_tree(leftover)
            continue
        with (home / "envs" / ".locks" / other).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            remove_tree(leftover)


def make_read_only(root: Path) -> None:
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode):
                os.chmod(path, 0o555 if mode & 0o111 else 0o444)
        os.chmod(folder, 0o555)  # noqa: S103 - nobody may write, everybody may look


def remove_tree(root: Path) -> None:
    """Remove a tree that may be read-only or partly gone."""
    for folder, _, _ in os.walk(root):
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)
    shutil.rmtree(root, ignore_errors=True)


def _size(root: Path) -> int:
    return sum(
        os.lstat(os.path.join(folder, name)).st_size
        for folder, _, names in os.walk(root)
        for name in names
    )
