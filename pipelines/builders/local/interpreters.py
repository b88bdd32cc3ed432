"""Which Python interpreters this machine has, and which one a submission means.

Asking an interpreter costs a process, so answers are kept in `<home>/cache/interpreters.json`
by real path and modification time.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from pipelines.builders.faults import SubmissionFault

PROBE = (
    "import sys,sysconfig,platform,json;"
    "print(json.dumps([platform.python_version(),sys.implementation.name,"
    "sysconfig.get_platform()+'-'+'-'.join(filter(None,platform.libc_ver()[:1])),"
    "getattr(sys,'_base_executable',sys.executable)]))"
)
NAMES = ("python3", *(f"python3.{minor}" for minor in range(9, 30)))
OPERATORS = ("<", ">", "=", "!", "~")
LOOK_EVERY_S = 30
OLDEST = Version("3.9")


@dataclass(frozen=True)
class Interpreter:
    path: str
    version: str  # "3.11.7"
    implementation: str  # "cpython"
    platform: str  # "linux-x86_64-glibc"

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])

    @property
    def identity(self) -> str:
        return f"{self.implementation}-{self.version}-{self.platform}"


def choose(wanted: str, found: Iterable[Interpreter], preferred: str = "") -> Interpreter:
    """The interpreter for `wanted`: a version ("3.11", "3.11.7"), a specifier (">=3.10"), or
    nothing in particular (empty).

    The preferred version (the portal's own) wins where it fits, else the newest that fits.

    Raises:
        SubmissionFault: none fits; the message names those that are there.
    """
    available = list(found)
    try:
        specifier = SpecifierSet(wanted if wanted.startswith(OPERATORS) else _exactly(wanted))
    except InvalidSpecifier:
        raise SubmissionFault(
            "BadPython",
            f"`python: {wanted}` in hekaton.yaml is not a version such as 3.11 or >=3.10.",
        ) from None
    fitting = [i for i in available if specifier.contains(i.version, prereleases=True)]
    if not fitting:
        names = ", ".join(i.version for i in sorted(available, key=_by_version)) or "none"
        raise SubmissionFault(
            "PythonNotAvailable",
            f"Python {wanted} is not installed on this machine; it has {names}. Change `python` in "
            "hekaton.yaml to one of these, or ask the portal's operator to install it.",
        )
    return max(fitting, key=lambda i: (i.version == preferred, Version(i.version)))


def discover(home: Path, extra: Sequence[str] = ()) -> list[Interpreter]:
    """CPython interpreters of this machine, one a version, oldest first.

    A process looks at most every half minute; what was installed since is seen after that.
    """
    return list(_discovered(home, tuple(extra), int(time.monotonic() // LOOK_EVERY_S)))


@lru_cache(maxsize=4)
def _discovered(home: Path, extra: tuple[str, ...], _period: int) -> tuple[Interpreter, ...]:
    cache = home / "cache" / "interpreters.json"
    known = _load(cache)
    seen: dict[str, dict[str, str]] = {}
    by_version: dict[str, Interpreter] = {}
    for path in _candidates(extra):
        try:
            stamp = f"{path}@{path.stat().st_mtime_ns}"
        except OSError:
            continue
        answer = known.get(stamp) or _ask(path)
        if answer is None:
            continue
        seen[stamp] = answer
        interpreter = Interpreter(**answer)
        usable = interpreter.implementation == "cpython" and Version(interpreter.version) >= OLDEST
        if usable:
            by_version.setdefault(interpreter.version, interpreter)
    if seen != known:
        _save(cache, seen)
    return tuple(sorted(by_version.values(), key=_by_version))


def _exactly(version: str) -> str:
    if not version:
        return ""
    return f"=={version}.*" if version.count(".") < 2 and "*" not in version else f"=={version}"


def _by_version(interpreter: Interpreter) -> Version:
    return Version(interpreter.version)


def _candidates(extra: Sequence[str]) -> list[Path]:
    """Real paths: shims and links of the same interpreter count once. Ours comes first.

    `os.path` rather than `Path`, which raises for folders of PATH that this user may not enter.
    """
    own = Path(os.path.expanduser("~"))
    folders = [Path(sys.base_prefix, "bin")]
    files: list[Path] = []
    for given in extra:
        (folders if os.path.isdir(given) else files).append(Path(given))
    folders += [Path(p) for p in os.get_exec_path() if p]
    for root in (
        own / ".pyenv" / "versions",
        own / ".local" / "share" / "uv" / "python",
        Path("/opt/python"),
    ):
        folders += sorted(root.glob("*/bin"))
    for folder in folders:
        if folder.name == "shims" or os.path.exists(folder.parent / "pyvenv.cfg"):
            continue
        files += [folder / name for name in NAMES]
    return list(dict.fromkeys(Path(os.path.realpath(f)) for f in files if os.path.exists(f)))


def _ask(path: Path) -> dict[str, str] | None:
    try:
        done = subprocess.run(
            [str(path), "-I", "-S", "-c", PROBE],
            capture_output=True,
            timeout=10,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        version, implementation, platform, base = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return asdict(
        Interpreter(
            path=base, version=version, implementation=implementation, platform=platform.strip("-")
        )
    )


def _load(cache: Path) -> dict[str, dict[str, str]]:
    try:
        loaded: dict[str, dict[str, str]] = json.loads(cache.read_text())
        return loaded
    except (OSError, ValueError):
        return {}


def _save(cache: Path, answers: dict[str, dict[str, str]]) -> None:
    """Best effort: a cache that cannot be written only costs time."""
    partial = cache.with_name(f"{cache.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(answers))
        os.replace(partial, cache)
