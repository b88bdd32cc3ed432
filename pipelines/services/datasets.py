"""Datasets: immutable versions made of uploaded files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, Any

from django.db import IntegrityError, transaction
from django.db.models import F

from contract.problems import nearest
from contract.snapshot import File, Limits, SnapshotError, check_path, digest_of
from pipelines.models import Dataset, DatasetVersion
from pipelines.profile import profile_file
from portal.accounts import audit
from portal.accounts.principals import Principal
from portal.core import events
from portal.core.errors import Conflict, InvalidInput
from portal.core.models import new_uid
from portal.core.storage import storage
from portal.projects.models import Project

SLUG = re.compile(r"[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*")
LIMITS = Limits(total_bytes=1 << 40, file_bytes=1 << 40, files=100_000)


@dataclass(frozen=True)
class Upload:
    path: str
    content: IO[bytes]


def ensure(*, principal: Principal, project: Project, slug: str, description: str = "") -> Dataset:
    """The dataset of this name, made if it is not there.

    Raises:
        InvalidInput: the name is not like `wine` or `wine/train`.
    """
    if not SLUG.fullmatch(slug) or len(slug) > 100:
        raise InvalidInput(
            "A dataset's name has lower-case letters, digits, dashes and `/`, such as wine/train.",
            field="slug",
        )
    found = Dataset.objects.filter(project=project, slug=slug).first()
    if found is not None:
        return found  # type: ignore[no-any-return]
    try:
        with transaction.atomic():
            made = Dataset.objects.create(project=project, slug=slug, description=description)
            audit.record(
                principal, "dataset.create", noun="dataset", subject_uid=made.uid,
                subject=f"{project.path} {slug}", **project.scope,
            )  # fmt: skip
    except IntegrityError:
        return Dataset.objects.get(project=project, slug=slug)  # type: ignore[no-any-return]
    return made  # type: ignore[no-any-return]


def add_version(
    *, principal: Principal, dataset: Dataset, uploads: Iterable[Upload], message: str = ""
) -> tuple[DatasetVersion, bool]:
    """Store files as the next version; the same content as the latest version is that version.

    Returns the version and whether it is new.

    Raises:
        InvalidInput: no files, a name twice, or a name that is no relative path.
    """
    uid = new_uid()
    key = f"datasets/{uid}"
    files: dict[str, File] = {}
    profile: dict[str, Any] = {}
    try:
        for upload in uploads:
            _check_name(upload.path, files)
            hashing = _Hashing(upload.content)
            storage().put(f"{key}/{upload.path}", hashing)  # type: ignore[arg-type]
            files[upload.path] = File(upload.path, hashing.size, hashing.digest, False)
        if not files:
            raise InvalidInput("There are no files.", code="no_files", field="files")
        for path in sorted(files)[:20]:
            found = profile_file(storage(), f"{key}/{path}", path)
            if found:
                profile[path] = found
        digest = digest_of(files.values())
        latest = dataset.versions.order_by("-number").first()
        if latest is not None and latest.digest == digest:
            storage().delete(key)
            return latest, False
        with transaction.atomic():
            Dataset.objects.filter(pk=dataset.pk).update(last_version=F("last_version") + 1)
            number = Dataset.objects.values_list("last_version", flat=True).get(pk=dataset.pk)
            version = DatasetVersion.objects.create(
                uid=uid,
                dataset=dataset,
                number=number,
                digest=digest,
                size=sum(f.size for f in files.values()),
                files=[
                    {"path": f.path, "size": f.size, "sha256": f.sha256}
                    for f in sorted(files.values(), key=lambda f: f.path)
                ],
                profile=profile,
                message=message[:500],
                created_by=principal.name,
            )
            _record(principal, version)
    except BaseException:
        storage().delete(key)
        raise
    return version, True


def resolve(project: Project, reference: str) -> DatasetVersion:
    """`wine/train`, `wine/train@3`, `wine/train@latest`, or `other-project:wine/train` of the
    same team.

    Raises:
        InvalidInput: the dataset or version is not there.
    """
    name, _, wanted = reference.partition("@")
    owner, _, slug = name.rpartition(":")
    rows = Dataset.objects.filter(
        project__team_id=project.team_id, project__slug=owner or project.slug
    )
    dataset = rows.filter(slug=slug).first()
    if dataset is None:
        known = set(rows.values_list("slug", flat=True))
        raise InvalidInput(
            f"There is no dataset `{name}`. "
            + (nearest(slug, known) or f"Push it with `hekaton data push {slug} FILES`."),
            code="dataset_missing",
        )
    versions = dataset.versions.select_related("dataset")
    if wanted in ("", "latest"):
        version = versions.order_by("-number").first()
    else:
        version = versions.filter(number=int(wanted)).first()
    if version is None:
        raise InvalidInput(
            f"`{name}` has no version {wanted or 'yet'}; the latest is {dataset.last_version}.",
            code="version_missing",
        )
    return version  # type: ignore[no-any-return]


def _check_name(path: str, taken: dict[str, File]) -> None:
    try:
        check_path(path, LIMITS)
    except SnapshotError as error:
        raise InvalidInput(error.message, code=f"file_{error.code}", field="files") from error
    if path in taken:
        raise Conflict(f"`{path}` is there twice.", code="duplicate_file", field="files")


def _record(principal: Principal, version: DatasetVersion) -> None:
    project = version.dataset.project
    audit.record(
        principal, "data.push", noun="dataset_version", subject_uid=version.uid,
        subject=f"{project.path} {version.ref}", after={"digest": version.digest}, **project.scope,
    )  # fmt: skip
    events.append(
        topic=f"project:{project.uid}", noun="dataset_version", subject_uid=version.uid,
        kind="created", actor=principal.name, data={"ref": version.ref}, **project.scope,
    )  # fmt: skip


class _Hashing:
    """A reader that hashes what passes."""

    def __init__(self, source: IO[bytes]) -> None:
        self.source = source
        self.hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        data = self.source.read(size)
        self.hash.update(data)
        self.size += len(data)
        return data

    @property
    def digest(self) -> str:
        return self.hash.hexdigest()
