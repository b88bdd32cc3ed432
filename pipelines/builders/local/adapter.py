"""The `Builder` of this machine: build tools as attempts of the node.

What a build is asked for and what it answered are files in `<home>/builds/<uid>/`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from node import sandbox
from node.client import NodeClient, NodeError, NodeUnreachable
from node.config import runtime_folder
from node.documents import AttemptDocument, AttemptObservation, Limits, ProcessDocument
from pipelines.builders.base import (
    ImageRef,
    Layer,
    Package,
    PackageSpec,
    PrepareResult,
    PrepareSpec,
)
from pipelines.builders.faults import PlatformFault, SubmissionFault
from pipelines.builders.local import documents, prepare
from pipelines.builders.local.interpreters import discover
from pipelines.builders.local.uv import SourceBuilds
from pipelines.executors.base import (
    Capabilities,
    EnvironmentRef,
    ExitInfo,
    Handle,
    Observation,
    ResourceUsage,
)
from pipelines.executors.local import local_path
from portal.core import crypto
from portal.core.errors import PermanentError, TransientError
from portal.core.storage import storage

SOURCE_ROOT = Path(__file__).resolve().parents[3]
LIMITS = Limits(cpu_m=2000, memory_bytes=4 * 1024**3, file_bytes=20 * 1024**3, grace_s=5.0)
OURS = frozenset({"Interrupted", "CannotStart", "OutOfMemory", "Signalled"})
WORDS = {
    "TimedOut": "The build took longer than it may. Fewer or smaller requirements, or a lock file "
    "with hashes, make it faster.",
    "OutOfMemory": "The build tools ran out of memory.",
}
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Registry:
    """Where images are pushed. `repository` may hold {team} and {project}; the password is in a
    file or an environment variable of the portal."""

    repository: str
    username: str = ""
    password_file: str = ""
    password_variable: str = ""
    plain_http: bool = False

    def target(self, team: str, project: str) -> documents.RegistryTarget:
        repository = self.repository.format(team=team, project=project)
        return documents.RegistryTarget(
            repository=repository, username=self.username, plain_http=self.plain_http
        )

    def environments(self) -> documents.RegistryTarget:
        """Environments are shared by all projects, so they have a repository of their own."""
        return self.target("shared", "environments")

    def secrets(self) -> dict[str, str]:
        if self.password_file:
            password = Path(self.password_file).read_text().strip()
        else:
            password = os.environ.get(self.password_variable, "")
        return {"HEKATON_REGISTRY_PASSWORD": crypto.encrypt(password)} if password else {}


class LocalBuilder:
    """`home` is PORTAL_HOME, which the node shares.

    `bases` maps a Python minor version, or "*", to a base image (`{python}` stands for the
    version); `registry` holds the keys of `Registry`; `pythons` are further interpreters or
    folders of them; a resolved lock is used again for `lock_max_age_s`. `source_builds` says where
    packages without a wheel are built (`uv.Uv`).
    """

    def __init__(
        self,
        *,
        home: str,
        name: str = "local",
        bases: Mapping[str, str] | None = None,
        python_home: str = "/usr/local/bin",
        registry: Mapping[str, Any] | None = None,
        source_builds: SourceBuilds = "confined",
        compile_bytecode: bool = True,
        pythons: Sequence[str] = (),
        lock_max_age_s: float = 24 * 3600.0,
    ) -> None:
        self.name = name
        self.home = Path(home)
        self.node = NodeClient(runtime_folder(self.home) / "node.sock")
        self.bases = dict(bases or {})
        self.python_home = python_home
        self.registry = Registry(**registry) if registry else None
        self.source_builds = source_builds
        self.compile_bytecode = compile_bytecode
        self.pythons = tuple(pythons)
        self.lock_max_age_s = lock_max_age_s

    def capabilities(self) -> Capabilities:
        unavailable = None
        try:
            self.node.info()
        except NodeError as error:
            unavailable = str(error)
        minors = [i.minor for i in discover(self.home, self.pythons)]
        return Capabilities(
            name=self.name,
            pythons=tuple(dict.fromkeys(minors)),
            isolation="Build tools run as the portal's user, with the network, as attempts of the "
            f"node. Build code of packages without a wheel: {self._source_builds_in_words()}.",
            limits={"gpu": 0},
            unavailable=unavailable,
        )

    def find_environment(self, spec: PrepareSpec) -> PrepareResult | None:
        try:
            found = prepare.find(self._prepare_request(spec), max_age_s=self.lock_max_age_s)
        except (SubmissionFault, PlatformFault, OSError):
            return None  # the attempt will say it, in its log, where people look
        return _prepared(found) if found is not None else None

    def start_prepare(self, spec: PrepareSpec) -> Handle:
        secrets = self.registry.secrets() if self.registry else {}
        return self._start(spec, "prepare", self._prepare_request(spec), secrets)

    def start_package(self, spec: PackageSpec) -> Handle:
        secrets = self.registry.secrets() if self.registry else {}
        return self._start(spec, "package", self._package_request(spec), secrets)

    def observe(self, handle: Handle) -> Observation:
        try:
            found = self.node.attempt(handle.uid)
        except NodeError as error:
            return Observation(state="unknown", reason="NodeUnreachable", message=str(error))
        if found is None:
            return Observation(
                state="lost", reason="NeverStarted", message="The node does not know it.", gone=True
            )
        return _observation(found, self._fault(handle))

    def cancel(self, handle: Handle) -> None:
        try:
            self.node.cancel_attempt(handle.uid)
        except NodeUnreachable as error:
            raise TransientError(str(error), reason="NodeUnreachable", retry_after=1.0) from error

    def prepared(self, handle: Handle) -> PrepareResult:
        return _prepared(self._result(documents.PrepareReport, handle))

    def packaged(self, handle: Handle) -> ImageRef:
        """Also puts SBOM and provenance into the object store. The provenance belongs to this
        build; the same digest may have been built by others."""
        report = self._result(documents.PackageReport, handle)
        prefix = f"images/{report.digest.removeprefix('sha256:')}"
        sbom_key = f"{prefix}/sbom.spdx.json"
        provenance_key = f"{prefix}/provenance/{handle.uid}.json"
        for key, name in ((sbom_key, report.sbom), (provenance_key, report.provenance)):
            if not storage().exists(key):
                with (self._folder(handle.uid) / name).open("rb") as file:
                    storage().put(key, file)
        return ImageRef(
            digest=report.digest,
            reference=report.reference,
            local_only=report.local_only,
            size_bytes=report.size_bytes,
            layers=tuple(
                Layer(role=one.role, digest=one.digest, size_bytes=one.size_bytes)
                for one in report.layers
            ),
            packages=_packages(report.packages),
            dockerfile=report.dockerfile,
            sbom_key=sbom_key,
            provenance_key=provenance_key,
        )

    def forget(self, handle: Handle) -> None:
        try:
            self.node.delete_attempt(handle.uid)
        except NodeUnreachable as error:
            raise TransientError(str(error), reason="NodeUnreachable", retry_after=5.0) from error
        shutil.rmtree(self._folder(handle.uid), ignore_errors=True)

    # --------------------------------------------------------------------------------------

    def _source_builds_in_words(self) -> str:
        if self.source_builds == "never":
            return "never run"
        if sandbox.probe().confines:
            return "confined by bubblewrap, with the network"
        return "as the portal's user" if self.source_builds == "always" else "never run"

    def _folder(self, uid: str) -> Path:
        return self.home / "builds" / uid

    def _prepare_request(self, spec: PrepareSpec) -> documents.PrepareRequest:
        return documents.PrepareRequest(
            uid=spec.uid,
            home=str(self.home),
            snapshot=str(local_path(spec.snapshot.key)),
            snapshot_digest=spec.snapshot.digest,
            requirements=spec.requirements,
            python=spec.python,
            lock=spec.lock,
            source_builds=self.source_builds,
            compile_bytecode=self.compile_bytecode,
            pythons=self.pythons,
            bases=self.bases,
            python_home=self.python_home,
            push=self.registry.environments() if self.registry and self.bases else None,
        )

    def _package_request(self, spec: PackageSpec) -> documents.PackageRequest:
        return documents.PackageRequest(
            uid=spec.uid,
            home=str(self.home),
            environment_key=spec.environment.key,
            snapshot=str(local_path(spec.snapshot.key)),
            snapshot_digest=spec.snapshot.digest,
            model=str(local_path(spec.model.key)) if spec.model else None,
            model_digest=spec.model.digest if spec.model else None,
            serve_command=spec.serve_command,
            requirements=spec.requirements,
            env=dict(spec.env),
            labels=dict(spec.labels),
            name=f"{spec.team}/{spec.project}",
            provenance={
                "run": spec.run_uid,
                "team": spec.team,
                "project": spec.project,
                **spec.provenance,
            },
            bases=self.bases,
            python_home=self.python_home,
            push=self.registry.target(spec.team, spec.project) if self.registry else None,
        )

    def _start(
        self,
        spec: PrepareSpec | PackageSpec,
        phase: str,
        request: documents.PrepareRequest | documents.PackageRequest,
        secrets: dict[str, str],
    ) -> Handle:
        folder = self._folder(spec.uid)
        folder.mkdir(parents=True, exist_ok=True)
        documents.write(request, folder / "request.json")
        arguments = [
            *(sys.executable, "-m", "pipelines.builders.local", phase),
            *(str(folder / "request.json"), str(folder / "result.json")),
        ]
        document = AttemptDocument(
            uid=spec.uid,
            process=ProcessDocument(
                command="exec " + shlex.join(arguments),
                cwd=str(SOURCE_ROOT),
                secrets=secrets,
                limits=Limits(
                    cpu_m=LIMITS.cpu_m,
                    memory_bytes=LIMITS.memory_bytes,
                    file_bytes=LIMITS.file_bytes,
                    grace_s=LIMITS.grace_s,
                    timeout_s=spec.timeout_s,
                ),
                sandbox="builder",
            ),
            log_dir=str(local_path(spec.log_key)),
            labels={"run": spec.run_uid, "project": spec.project_uid, "step": phase},
        )
        try:
            observed = self.node.put_attempt(document)
        except NodeUnreachable as error:
            raise TransientError(str(error), reason="NodeUnreachable", retry_after=1.0) from error
        except NodeError as error:
            raise PermanentError(str(error), reason="NodeRefused") from error
        return Handle(executor=self.name, uid=spec.uid, node_id=observed.node_id)

    def _fault(self, handle: Handle) -> documents.FaultReport | None:
        try:
            path = self._folder(handle.uid) / "result.json"
            return documents.read(documents.FaultReport, path)
        except (OSError, ValueError):
            return None

    def _result(self, kind: type[T], handle: Handle) -> T:
        try:
            return documents.read(kind, self._folder(handle.uid) / "result.json")
        except (OSError, ValueError) as error:
            raise PermanentError(
                "The build left no result on this machine.", reason="ResultMissing"
            ) from error


def _observation(found: AttemptObservation, fault: documents.FaultReport | None) -> Observation:
    if found.state == "lost":
        return Observation(
            state="lost",
            reason="ProcessVanished",
            message=found.message,
            node_id=found.node_id,
            gone=found.gone,
        )
    ended = None
    if found.exit is not None and found.exit.reason == "Error" and fault is not None:
        ended = ExitInfo(
            code=found.exit.code,
            reason=fault.reason,
            message=fault.message,
            platform=fault.platform,
        )
    elif found.exit is not None:
        reason = found.exit.reason
        ended = ExitInfo(
            code=found.exit.code,
            reason=reason,
            message=WORDS.get(reason, found.exit.message),
            platform=reason in OURS or reason == "Error",
        )
    return Observation(
        state="exited" if ended else ("starting" if found.state == "starting" else "running"),
        message=found.message,
        node_id=found.node_id,
        started_at=found.started_at,
        finished_at=found.finished_at,
        exit=ended,
        usage=ResourceUsage(
            cpu_s=found.usage.cpu_s,
            max_rss_bytes=found.usage.max_rss_bytes,
            wall_s=found.usage.wall_s,
        ),
        gone=found.gone,
    )


def _prepared(report: documents.PrepareReport) -> PrepareResult:
    return PrepareResult(
        environment=EnvironmentRef(key=report.key, python=report.python, image=report.image),
        lock=report.lock,
        packages=_packages(report.packages),
        size_bytes=report.size_bytes,
    )


def _packages(names: Sequence[documents.PackageName]) -> tuple[Package, ...]:
    return tuple(Package(name=one.name, version=one.version) for one in names)
