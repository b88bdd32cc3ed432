"""`prepare`: requirements -> lock -> environment."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.builders.local import environments
from pipelines.builders.local.documents import PrepareReport, PrepareRequest
from pipelines.builders.local.environment_image import remembered_image, with_image
from pipelines.builders.local.interpreters import Interpreter, choose, discover
from pipelines.builders.local.requirements import Requirements, read_requirements
from pipelines.builders.local.snapshots import SnapshotFiles
from pipelines.builders.local.uv import SourceBuilds, Uv

OWN_PYTHON = ".".join(map(str, sys.version_info[:3]))


def prepare(request: PrepareRequest) -> PrepareReport:
    """Resolve and install, or find what is there already.

    Raises:
        SubmissionFault, PlatformFault: with the cause in words.
    """
    home = Path(request.home)
    interpreter = interpreter_for(home, request.python, request.pythons)
    what = request.requirements or "the requirements"
    lock = request.lock
    if lock is None:
        files = SnapshotFiles(Path(request.snapshot))
        requirements = read_requirements(request.requirements, files.read)
        lock = resolve(home, requirements, interpreter, source_builds=request.source_builds)
        environments.remember_lock(home, requirements, interpreter, lock)
    print(f"Environment for Python {interpreter.version}.", flush=True)
    made = environments.create(
        home,
        uid=request.uid,
        lock=lock,
        interpreter=interpreter,
        source_builds=request.source_builds,
        compile_bytecode=request.compile_bytecode,
        what=what,
    )
    return with_image(request, made)


def find(request: PrepareRequest, *, max_age_s: float) -> PrepareReport | None:
    """What `prepare` would answer, if that is known without resolving or installing.

    Raises:
        SubmissionFault: there cannot be one (no such Python, missing requirements file).
    """
    home = Path(request.home)
    interpreter = interpreter_for(home, request.python, request.pythons)
    lock = request.lock
    if lock is None:
        files = SnapshotFiles(Path(request.snapshot))
        requirements = read_requirements(request.requirements, files.read)
        lock = fixed_lock(requirements)
        if lock is None:
            lock = environments.remembered_lock(
                home, requirements, interpreter, max_age_s=max_age_s
            )
    if lock is None:
        return None
    found = environments.find(home, environments.environment_key(lock, interpreter))
    if found is None or request.push is None or not request.bases:
        return found
    image = remembered_image(request, found)
    return replace(found, image=image) if image else None


def interpreter_for(home: Path, python: str, extra: Sequence[str]) -> Interpreter:
    return choose(python, discover(home, extra), preferred=OWN_PYTHON)


def fixed_lock(requirements: Requirements) -> str | None:
    """The lock where nothing needs to be resolved."""
    if requirements.kind == "none":
        return ""
    return requirements.text if requirements.kind == "lock" else None


def resolve(
    home: Path, requirements: Requirements, interpreter: Interpreter, *, source_builds: SourceBuilds
) -> str:
    """The lock: pinned requirements with hashes, for this interpreter and platform."""
    if (fixed := fixed_lock(requirements)) is not None:
        return fixed
    print(f"Resolving {requirements.main} for Python {interpreter.version}.", flush=True)
    with tempfile.TemporaryDirectory(prefix="hekaton-resolve-") as scratch:
        for path, content in requirements.files.items():
            target = Path(scratch, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        main = Path(scratch, requirements.main)
        if requirements.kind == "uv-lock":
            return Uv(home).run(
                *("export", "--quiet", "--frozen", "--no-dev", "--no-emit-project"),
                *("--no-header", "--no-annotate", "--format", "requirements-txt"),
                *("--python", interpreter.path, "--project", str(main.parent)),
                what=requirements.main.replace("pyproject.toml", "uv.lock"),
            )
        return Uv(home, source_builds).run_wheels_first(
            *("pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate"),
            *("--emit-index-url", "--python", interpreter.path),
            requirements.main,
            what=requirements.main,
            cwd=Path(scratch),
            scratch=Path(scratch, ".uv-cache"),
            interpreter=interpreter.path,
        )
