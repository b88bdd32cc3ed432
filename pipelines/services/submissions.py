"""Taking in a submission: the snapshot is stored and checked before any row is written."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.db import transaction
from packaging.specifiers import SpecifierSet

from contract import names, snapshot
from contract.manifest import Manifest, Resources, parse
from contract.problems import ManifestError, Problem, nearest
from contract.rules import check_files
from pipelines.builders.loader import builder
from pipelines.executors.base import Capabilities
from pipelines.executors.loader import executor
from pipelines.models import DatasetVersion, Submission
from pipelines.services.datasets import resolve
from portal.accounts import audit
from portal.accounts.principals import Principal
from portal.core import events
from portal.core.errors import AdapterError, InvalidInput
from portal.core.storage import storage
from portal.projects.models import Project, Secret
from portal.projects.services.projects import next_number


@dataclass(frozen=True)
class Received:
    """An upload that is unpacked, stored and understood."""

    manifest: Manifest
    snapshot: snapshot.Snapshot


def receive(archive: IO[bytes]) -> Received:
    """Unpack an uploaded archive, check its manifest and store it under its digest.

    Raises:
        InvalidInput: the archive or the manifest is wrong; `problems` lists everything.
    """
    folder = Path(tempfile.mkdtemp(dir=settings.FILE_UPLOAD_TEMP_DIR, prefix="snapshot-"))
    try:
        try:
            found = snapshot.read_archive(archive, folder)
        except snapshot.SnapshotError as error:
            raise InvalidInput(
                error.message,
                code=f"archive_{error.code}",
                field="snapshot",
                data={"entry": error.entry} if error.entry else None,
            ) from error
        manifest = read_manifest(folder, found)
        key = f"snapshots/{found.digest}.tar.gz"
        if not storage().exists(key):
            with tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR) as packed:
                snapshot.write_archive(folder, found, packed)  # type: ignore[arg-type]
                packed.seek(0)
                storage().put(key, packed)  # type: ignore[arg-type]
            index = [
                {"path": f.path, "size": f.size, "sha256": f.sha256, "executable": f.executable}
                for f in found.files
            ]
            storage().put(f"snapshots/{found.digest}.json", io.BytesIO(json.dumps(index).encode()))
        return Received(manifest, found)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_manifest(folder: Path, found: snapshot.Snapshot) -> Manifest:
    """The manifest of an unpacked snapshot, files that it names checked as well."""
    path = folder / names.MANIFEST
    if not path.is_file():
        near = [f for f in found.paths if f.endswith((".yaml", ".yml"))][:5]
        hint = f" There is {', '.join(sorted(near))}." if near else ""
        raise InvalidInput(
            f"There is no {names.MANIFEST} at the top of the folder.{hint}",
            code="manifest_missing",
            field="snapshot",
        )
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{names.MANIFEST} is not UTF-8 text.", code="manifest_encoding", field="manifest"
        ) from error
    try:
        manifest = parse(text)
    except ManifestError as error:
        raise bad_manifest(error.problems) from error
    problems = check_files(manifest, found.paths)
    if problems:
        raise bad_manifest(problems)
    return manifest


def create(
    *,
    principal: Principal,
    project: Project,
    received: Received,
    message: str = "",
    source: Mapping[str, Any] | None = None,
) -> Submission:
    """The rows of a received submission.

    Raises:
        InvalidInput: it needs what this installation or project does not have.
    """
    problems = check_needs(project, received.manifest)
    if problems:
        raise bad_manifest(problems)
    with transaction.atomic():
        submission = Submission.objects.create(
            project=project,
            number=next_number(project, "last_submission"),
            digest=received.snapshot.digest,
            size=received.snapshot.size,
            file_count=len(received.snapshot.files),
            manifest=received.manifest.to_dict(),
            message=message[:500],
            author=principal.name,
            source=dict(source or {}),
        )
        audit.record(
            principal,
            "submission.create",
            noun="submission",
            subject_uid=submission.uid,
            subject=f"{project.path} submission {submission.number}",
            after={"digest": submission.digest},
            **project.scope,
        )
        events.append(
            topic=f"project:{project.uid}",
            noun="submission",
            subject_uid=submission.uid,
            kind="created",
            actor=principal.name,
            data={"number": submission.number},
            **project.scope,
        )
    return submission  # type: ignore[no-any-return]


def check_needs(project: Project, manifest: Manifest) -> list[Problem]:
    """What the manifest asks for and this installation or project cannot give, all at once."""
    problems: list[Problem] = []
    able = _capabilities()
    for where, wanted in _resources(manifest):
        problems += _too_much(where, wanted, able["executor"])
    pythons = able["builder"].pythons
    if manifest.python and pythons and not _python_available(manifest.python, pythons):
        problems.append(
            Problem(
                code="python_unavailable",
                path="python",
                message=f"Python {manifest.python} is not available here.",
                hint=f"Available: {', '.join(pythons)}.",
            )
        )
    for key, found in able.items():
        if found.unavailable and key == "executor" and found.granularity == "run":
            problems.append(
                Problem(code="executor_unavailable", path="steps", message=found.unavailable)
            )
    held = set(Secret.objects.filter(project=project).values_list("name", flat=True))
    for i, name in enumerate(manifest.secrets):
        if name not in held:
            problems.append(
                Problem(
                    code="secret_missing",
                    path=f"secrets[{i}]",
                    message=f"The project has no secret `{name}`.",
                    hint=nearest(name, held) or "A maintainer sets it in the project's settings.",
                )
            )
    for slot, reference in manifest.data.items():
        try:
            resolve(project, reference)
        except InvalidInput as error:
            problems.append(Problem(code=error.code, path=f"data.{slot}", message=error.message))
    return problems


def resolve_data(
    project: Project, manifest: Manifest, overrides: Mapping[str, str] | None = None
) -> dict[str, DatasetVersion]:
    """The data version of each slot; `overrides` replaces a slot's reference.

    Raises:
        InvalidInput: a dataset or version is not there, or a slot is not the manifest's.
    """
    chosen = dict(manifest.data)
    for slot, reference in (overrides or {}).items():
        if slot not in chosen:
            raise InvalidInput(
                f"The manifest has no data slot `{slot}`. {nearest(slot, chosen)}".strip(),
                code="unknown_slot",
                field=f"data.{slot}",
            )
        chosen[slot] = reference
    return {slot: resolve(project, reference) for slot, reference in chosen.items()}


def bad_manifest(problems: Any) -> InvalidInput:
    """The one error for a manifest that cannot be used, with every problem."""
    found = [problem.to_dict() for problem in problems]
    count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
    return InvalidInput(
        f"{names.MANIFEST} has {count}: {found[0]['message']}",
        code="manifest_invalid",
        field="manifest",
        problems=found,
    )


def files(submission: Submission) -> list[dict[str, Any]]:
    """The index of the snapshot's files."""
    with storage().open(f"snapshots/{submission.digest}.json") as file:
        found: list[dict[str, Any]] = json.load(file)
    return found


def _capabilities() -> dict[str, Capabilities]:
    found = {}
    for key, load in (("executor", executor), ("builder", builder)):
        try:
            found[key] = load().capabilities()
        except AdapterError as error:
            found[key] = Capabilities(name=key, unavailable=error.message)
    return found


def _resources(manifest: Manifest) -> list[tuple[str, Resources]]:
    found = [(f"steps.{step.name}.resources", step.resources) for step in manifest.steps]
    if manifest.serve is not None:
        found.append(("serve.resources", manifest.serve.resources))
    return found


def _too_much(where: str, wanted: Resources, able: Capabilities) -> list[Problem]:
    problems = []
    words: dict[str, tuple[str, int, Callable[[int], str]]] = {
        "cpu_m": ("cpu", wanted.cpu_m, lambda n: f"{n / 1000:g} CPUs"),
        "memory_bytes": ("memory", wanted.memory_bytes, lambda n: f"{n / 2**30:.1f} GiB"),
        "gpu": ("gpu", wanted.gpu, lambda n: f"{n} GPUs"),
    }
    for key, (name, amount, say) in words.items():
        most = able.limits.get(key)
        if most is not None and amount > most:
            problems.append(
                Problem(
                    code="too_much",
                    path=f"{where}.{name}",
                    message=f"It asks for {say(amount)}; `{able.name}` has {say(most)} at most.",
                )
            )
    return problems


def _python_available(wanted: str, pythons: tuple[str, ...]) -> bool:
    if wanted[0].isdigit():
        return any(wanted == p or wanted.startswith(f"{p}.") for p in pythons)
    accepted = SpecifierSet(wanted)
    return any(accepted.contains(f"{p}.99") or accepted.contains(f"{p}.0") for p in pythons)
