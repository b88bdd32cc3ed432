"""The `Builder` on Google Cloud Build.

Cloud Build chooses a build's id, so a build carries the attempt's uid as a tag: builds are listed
before one is created, surplus ones are cancelled, and only the first made counts.
"""

from __future__ import annotations

import io
from typing import Any, Literal, TypeVar

from node.documents import from_json, to_json
from pipelines.builders.base import (
    ImageRef,
    Layer,
    Package,
    PackageSpec,
    PrepareResult,
    PrepareSpec,
)
from pipelines.builders.cloud_build import builds, logs, memory
from pipelines.builders.cloud_build.bucket import BuildFiles
from pipelines.builders.cloud_build.options import read_options
from pipelines.builders.faults import BuildFault
from pipelines.builders.local import documents
from pipelines.builders.local.requirements import Requirements, read_requirements
from pipelines.builders.local.snapshots import SnapshotFiles
from pipelines.executors.base import (
    Capabilities,
    EnvironmentRef,
    Handle,
    Observation,
    Tree,
)
from portal.cloud import clients
from portal.core.errors import AdapterError, PermanentError, TransientError
from portal.core.storage import storage

ROLES = "roles/cloudbuild.builds.editor"
T = TypeVar("T")


class CloudBuilder:
    """The keyword arguments are `options.Options`."""

    def __init__(self, *, name: str = "cloud-build", **options: Any) -> None:
        self.name = name
        self.options = read_options(options)
        self.google = self.options.google
        self.files = BuildFiles(self.google, self.options.bucket)

    def capabilities(self) -> Capabilities:
        unavailable = None
        try:
            self._list("tags=hekaton-check")
        except AdapterError as error:
            unavailable = error.message
        return Capabilities(
            name=self.name,
            pythons=self.options.pythons,
            isolation="Each build has a machine of its own on Google Cloud Build.",
            limits={"gpu": 0},
            unavailable=unavailable,
        )

    def find_environment(self, spec: PrepareSpec) -> PrepareResult | None:
        try:
            lock = spec.lock
            if lock is None:
                lock = memory.lock(self.options, self._requirements(spec), spec.python)
        except BuildFault:
            return None  # the build will say it, in its log
        if lock is None:
            return None
        found = memory.environment(self.options, lock=lock, python=spec.python)
        return _prepared(found) if found else None

    def start_prepare(self, spec: PrepareSpec) -> Handle:
        request = documents.PrepareRequest(
            uid=spec.uid,
            home="home",
            snapshot="snapshot.tar.gz",
            snapshot_digest=spec.snapshot.digest,
            requirements=spec.requirements,
            python=spec.python,
            lock=spec.lock,
            source_builds=self.options.source_builds,
            compile_bytecode=False,
            bases=dict(self.options.bases),
            python_home=self.options.python_home,
            push=self._target("shared", "environments"),
        )
        return self._start(spec, "prepare", request, model=None)

    def start_package(self, spec: PackageSpec) -> Handle:
        request = documents.PackageRequest(
            uid=spec.uid,
            home="home",
            environment_key=spec.environment.key,
            lock=spec.lock,
            python=spec.environment.python,
            snapshot="snapshot.tar.gz",
            snapshot_digest=spec.snapshot.digest,
            model="model" if spec.model else None,
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
            bases=dict(self.options.bases),
            python_home=self.options.python_home,
            push=self._target(spec.team, spec.project),
        )
        return self._start(spec, "package", request, model=spec.model)

    def observe(self, handle: Handle) -> Observation:
        """Also brings what is new of the build's log into the log store."""
        try:
            build = self._build(handle)
            if build is None:
                return Observation(
                    state="lost",
                    reason="NeverStarted",
                    message="Cloud Build does not know it.",
                    gone=True,
                )
            active = builds.is_active(build)
            self._mirror_log(handle, build, closed=not active)
            if build.status.name != "SUCCESS":
                return builds.observation(build, None, has_result=False)
            result = self.files.read_json(handle.uid, "result/result.json")
        except TransientError as error:
            return Observation(state="unknown", reason=error.reason, message=error.message)
        return builds.observation(build, _fault(result), has_result=result is not None)

    def cancel(self, handle: Handle) -> None:
        for build in self._list(f'tags="{builds.tag(handle.uid)}"'):
            if builds.is_active(build):
                self._cancel(build)

    def prepared(self, handle: Handle) -> PrepareResult:
        report = self._result(documents.PrepareReport, handle)
        asked = self.files.read_json(handle.uid, "asked.json") or {}
        memory.remember(
            self.options,
            requirements=asked.get("requirements", ""),
            python=asked.get("python", report.python),
            report=report,
        )
        return _prepared(report)

    def packaged(self, handle: Handle) -> ImageRef:
        """Also puts SBOM and provenance into the object store."""
        report = self._result(documents.PackageReport, handle)
        prefix = f"images/{report.digest.removeprefix('sha256:')}"
        sbom_key = f"{prefix}/sbom.spdx.json"
        provenance_key = f"{prefix}/provenance/{handle.uid}.json"
        for key, name in ((sbom_key, report.sbom), (provenance_key, report.provenance)):
            if not storage().exists(key):
                storage().put(key, io.BytesIO(self.files.read(handle.uid, f"result/{name}") or b""))
        return ImageRef(
            digest=report.digest,
            reference=report.reference,
            local_only=report.local_only,
            size_bytes=report.size_bytes,
            layers=tuple(
                Layer(role=one.role, digest=one.digest, size_bytes=one.size_bytes)
                for one in report.layers
            ),
            packages=_packages(report),
            dockerfile=report.dockerfile,
            sbom_key=sbom_key,
            provenance_key=provenance_key,
        )

    def forget(self, handle: Handle) -> None:
        """Deletes the build's folder in the bucket; Cloud Build keeps its own record."""
        self.files.delete(handle.uid)

    # Builds ------------------------------------------------------------------------------

    def _start(
        self,
        spec: PrepareSpec | PackageSpec,
        phase: Literal["prepare", "package"],
        request: documents.PrepareRequest | documents.PackageRequest,
        *,
        model: Tree | None,
    ) -> Handle:
        with_tag = f'tags="{builds.tag(spec.uid)}"'
        if not self._list(with_tag):
            self.files.upload_source(spec.uid, to_json(request), spec.snapshot, model)
            if isinstance(spec, PrepareSpec):
                self.files.write_json(spec.uid, "asked.json", self._asked(spec))
            fields = builds.definition(
                spec.uid, phase, self.options, timeout_s=spec.timeout_s, log_key=spec.log_key
            )
            with clients.errors("start a build", roles=ROLES):
                clients.cloud_build(self.google).create_build(
                    request={
                        "parent": self.google.parent,
                        "project_id": self.google.project,
                        "build": fields,
                    },
                    timeout=self.google.timeout_s,
                )
        chosen, surplus = builds.recorded(self._list(with_tag))
        for build in surplus:
            if builds.is_active(build):
                self._cancel(build)
        if chosen is None:
            raise TransientError("Cloud Build does not list the build yet.", reason="NotListedYet")
        return Handle(executor=self.name, uid=spec.uid, external={"build": chosen.id})

    def _build(self, handle: Handle) -> Any | None:
        """The build that counts; a handle saved before launch has only the uid."""
        build_id = handle.external.get("build")
        if not build_id:
            return builds.recorded(self._list(f'tags="{builds.tag(handle.uid)}"'))[0]
        try:
            with clients.errors("look at a build", roles=ROLES):
                return clients.cloud_build(self.google).get_build(
                    request={"name": self._name(build_id)},
                    timeout=self.google.timeout_s,
                    retry=clients.retry(self.google.timeout_s),
                )
        except PermanentError as error:
            if error.reason == "NotFound":
                return None
            raise

    def _list(self, wanted: str) -> list[Any]:
        with clients.errors("list builds", roles=ROLES):
            return list(
                clients.cloud_build(self.google).list_builds(
                    request={
                        "parent": self.google.parent,
                        "project_id": self.google.project,
                        "filter": wanted,
                    },
                    timeout=self.google.timeout_s,
                    retry=clients.retry(self.google.timeout_s),
                )
            )

    def _cancel(self, build: Any) -> None:
        try:
            with clients.errors("cancel a build", roles=ROLES):
                clients.cloud_build(self.google).cancel_build(
                    request={"name": self._name(build.id)},
                    timeout=self.google.timeout_s,
                    retry=clients.retry(self.google.timeout_s),
                )
        except PermanentError as error:
            if error.reason == "PermissionDenied":
                raise
            # refused because it ended meanwhile: what was wanted

    def _name(self, build_id: str) -> str:
        return f"{self.google.parent}/builds/{build_id}"

    def _asked(self, spec: PrepareSpec) -> dict[str, str]:
        """What the environment is to be remembered by, for `prepared`."""
        try:
            requirements = "" if spec.lock is not None else self._requirements(spec).digest
        except BuildFault:
            requirements = ""
        return {"requirements": requirements, "python": spec.python}

    def _requirements(self, spec: PrepareSpec) -> Requirements:
        files = SnapshotFiles(lambda: storage().open(spec.snapshot.key))
        return read_requirements(spec.requirements, files.read)

    def _mirror_log(self, handle: Handle, build: Any, *, closed: bool) -> None:
        key = build.substitutions.get("_LOG_KEY", "")
        text = self.files.read(handle.uid, f"logs/log-{build.id}.txt") if key else None
        if key and (text is not None or closed):
            logs.mirror(text or b"", key, closed=closed)

    def _result(self, kind: type[T], handle: Handle) -> T:
        found = self.files.read_json(handle.uid, "result/result.json")
        try:
            return from_json(kind, found or {})
        except ValueError as error:
            raise PermanentError("The build left no result.", reason="ResultMissing") from error

    def _target(self, team: str, project: str) -> documents.RegistryTarget:
        return documents.RegistryTarget(
            repository=self.options.repository_of(team, project),
            plain_http=self.options.plain_http,
            metadata_token=True,
        )


def _fault(result: dict[str, Any] | None) -> documents.FaultReport | None:
    try:
        return from_json(documents.FaultReport, result or {})
    except ValueError:
        return None


def _prepared(report: documents.PrepareReport) -> PrepareResult:
    return PrepareResult(
        environment=EnvironmentRef(key=report.key, python=report.python, image=report.image),
        lock=report.lock,
        packages=_packages(report),
        size_bytes=report.size_bytes,
    )


def _packages(report: documents.PrepareReport | documents.PackageReport) -> tuple[Package, ...]:
    return tuple(Package(name=one.name, version=one.version) for one in report.packages)
