"""`package`: environment + code + model -> OCI image, with SBOM and provenance beside it."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from contract.snapshot import SnapshotError, read_archive
from pipelines.builders import image_contents
from pipelines.builders.faults import PlatformFault, SubmissionFault
from pipelines.builders.local import documents, environments
from pipelines.builders.local.documents import (
    LayerReport,
    PackageReport,
    PackageRequest,
    PrepareReport,
)
from pipelines.builders.local.evidence import now, write_evidence
from pipelines.builders.local.serve_check import Contents, check_serve
from pipelines.builders.local.snapshots import SnapshotFiles
from pipelines.builders.oci.bases import base_image
from pipelines.builders.oci.images import Base, ImageLayer, Runtime, write_image
from pipelines.builders.oci.layers import Entry, tree, write_layer
from pipelines.builders.oci.layout import Layout
from pipelines.builders.oci.registry import Credentials, Reference, Registry

PASSWORD = "HEKATON_REGISTRY_PASSWORD"  # noqa: S105 - the name of the variable
NOT_IN_LAYER = frozenset({".lock", ".gitignore", "CACHEDIR.TAG", environments.RECORD})
NOT_IN_BIN = ("activate", "deactivate.bat", "pydoc.bat")


def package(request: PackageRequest, *, beside: Path) -> PackageReport:
    """Make (and push) the image; write SBOM and provenance into the folder `beside`.

    Raises:
        SubmissionFault, PlatformFault: with the cause in words.
    """
    started = now()
    home = Path(request.home)
    environment = environments.find(home, request.environment_key)
    if environment is None:
        raise PlatformFault(
            "EnvironmentMissing", "The prepared environment is gone from this machine."
        )
    check(request, environment)
    layout = Layout(home / "images")
    with layout.building():
        base = _base(layout, request, environment.python)
        layers = [
            _environment_layer(home, layout, environment, request.python_home),
            _code_layer(home, layout, request),
            *_model_layer(home, layout, request),
        ]
        env = image_contents.variables(
            request.env, base_path=base.env.get("PATH", image_contents.DEFAULT_PATH)
        )
        labels = image_contents.labels(
            request.labels,
            environment_key=environment.key,
            python=environment.python,
            snapshot=request.snapshot_digest,
            model=request.model_digest,
        )
        local_only = not base.digest
        image = write_image(
            layout,
            base=base,
            layers=layers,
            runtime=Runtime(
                entrypoint=image_contents.entrypoint(request.serve_command),
                env=env,
                labels=labels,
                working_dir=image_contents.CODE,
                user=image_contents.USER,
                ports=(image_contents.PORT,),
            ),
            annotations={
                **({"io.hekaton.local-only": "true"} if local_only else {}),
                **({"org.opencontainers.image.base.digest": base.digest} if base.digest else {}),
            },
        )
        print(f"Image {image.digest}", flush=True)
        reference = image.digest
        if request.push is not None and not local_only:
            reference = _push(layout, image.digest, request)
    write_evidence(request, environment, image.digest, base, beside, started)
    every = [*base.layers, *layers]
    return PackageReport(
        digest=image.digest,
        reference=reference,
        local_only=local_only,
        size_bytes=sum(layer.size_bytes for layer in every),
        layers=tuple(
            LayerReport(role=layer.role, digest=layer.digest, size_bytes=layer.size_bytes)
            for layer in every
        ),
        packages=environment.packages,
        dockerfile=image_contents.dockerfile(
            base=_dockerfile_base(base, environment.python),
            serve_command=request.serve_command,
            env=env,
            labels=labels,
            has_model=request.model is not None,
        ),
    )


def check(request: PackageRequest, environment: PrepareReport) -> None:
    """Raises SubmissionFault for what certainly cannot be served."""
    folder = environments.environment_path(Path(request.home), environment.key)
    files = SnapshotFiles(Path(request.snapshot))
    check_serve(
        request.serve_command,
        Contents(
            files=files.names,
            executables=frozenset(os.listdir(folder / "bin")),
            modules=frozenset(_modules(environments.site_packages(folder))),
            read=files.read,
            requirements=request.requirements or "a requirements.txt (hekaton.yaml names none)",
        ),
    )
    if request.model is not None and not any(Path(request.model).rglob("*")):
        raise SubmissionFault(
            "ModelMissing",
            "The step named by serve.model left no output files, so there is no model to serve. "
            "Write it below $HEKATON_OUTPUT_DIR.",
        )


# Layers ----------------------------------------------------------------------------------


def _environment_layer(
    home: Path, layout: Layout, environment: PrepareReport, python_home: str
) -> ImageLayer:
    folder = environments.environment_path(home, environment.key)
    return _cached_layer(
        home,
        layout,
        role="environment",
        key=f"{environment.key}\0{python_home}",
        created_by="COPY env /opt/hekaton/env",
        entries=lambda: environment_entries(folder, environment.python, python_home),
    )


def environment_entries(folder: Path, python: str, python_home: str) -> Iterator[Entry]:
    """The environment as it works in a container: no bytecode, nothing of this machine."""
    minor = ".".join(python.split(".")[:2])
    prefix = image_contents.ENV.lstrip("/")
    replaced = {f"{prefix}/pyvenv.cfg", f"{prefix}/bin/python"}
    for entry in tree(folder, prefix, skip=_left_out):
        if entry.path not in replaced:
            yield entry
    yield Entry(f"{prefix}/bin/python", link=f"{python_home}/python{minor}")
    yield Entry(
        f"{prefix}/pyvenv.cfg",
        content=(
            f"home = {python_home}\nimplementation = CPython\nversion_info = {python}\n"
            "include-system-site-packages = false\nrelocatable = true\n"
        ).encode(),
    )


def _left_out(path: str) -> bool:
    name = path.rpartition("/")[2]
    return (
        name in ("__pycache__", "uv_cache.json", "uv_build.json")
        or path in NOT_IN_LAYER
        or (path.startswith("bin/") and name.startswith(NOT_IN_BIN))
    )


def _code_layer(home: Path, layout: Layout, request: PackageRequest) -> ImageLayer:
    with tempfile.TemporaryDirectory(prefix="hekaton-code-", dir=_scratch(home)) as scratch:

        def entries() -> Iterable[Entry]:
            try:
                with open(request.snapshot, "rb") as source:
                    found = read_archive(source, Path(scratch))
            except SnapshotError as error:
                raise PlatformFault(
                    "SnapshotUnreadable", f"The stored snapshot is damaged: {error.message}"
                ) from error
            if found.digest != request.snapshot_digest.removeprefix("sha256:"):
                raise PlatformFault(
                    "SnapshotUnreadable", "The stored snapshot does not have its digest."
                )
            return tree(Path(scratch), image_contents.CODE.lstrip("/"))

        return _cached_layer(
            home,
            layout,
            role="code",
            key=request.snapshot_digest,
            created_by="COPY code /opt/hekaton/code",
            entries=entries,
        )


def _model_layer(home: Path, layout: Layout, request: PackageRequest) -> list[ImageLayer]:
    if request.model is None or request.model_digest is None:
        return []
    folder = Path(request.model)
    return [
        _cached_layer(
            home,
            layout,
            role="model",
            key=request.model_digest,
            created_by="COPY model /opt/hekaton/model",
            entries=lambda: tree(folder, image_contents.MODEL.lstrip("/")),
        )
    ]


def _cached_layer(
    home: Path,
    layout: Layout,
    *,
    role: str,
    key: str,
    created_by: str,
    entries: Callable[[], Iterable[Entry]],
) -> ImageLayer:
    """The layer for a content key: made once, then found by a small file beside the cache."""
    name = hashlib.sha256(f"{role}\0{key}".encode()).hexdigest()
    memory = home / "cache" / "layers" / f"{name}.json"
    try:
        known = json.loads(memory.read_text())
        if layout.has(known["digest"]):
            return ImageLayer(**known, created_by=created_by, role=role)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    print(f"Writing the {role} layer.", flush=True)
    with layout.new_blob() as target:
        made = write_layer(entries(), target)
        layout.adopt(target, made.digest)
    known = {"digest": made.digest, "diff_id": made.diff_id, "size_bytes": made.size_bytes}
    memory.parent.mkdir(parents=True, exist_ok=True)
    documents.write_json(known, memory)
    return ImageLayer(**known, created_by=created_by, role=role)


# Base and registry -----------------------------------------------------------------------


def _base(layout: Layout, request: PackageRequest, python: str) -> Base:
    minor = ".".join(python.split(".")[:2])
    given = request.bases.get(minor) or request.bases.get("*", "")
    try:
        return base_image(
            layout,
            given.replace("{python}", minor),
            credentials=_credentials(request),
            plain_http=True if request.push and request.push.plain_http else None,
        )
    except PlatformFault as fault:
        if request.push is not None or fault.reason != "RegistryUnreachable":
            raise
        print(f"{fault.message}\nThe image is for this machine only.", flush=True)
        return Base()


def _push(layout: Layout, digest: str, request: PackageRequest) -> str:
    assert request.push is not None
    target = Reference.parse(request.push.repository)
    print(f"Pushing to {target.repository}.", flush=True)
    with Registry(
        target.host,
        _credentials(request).get(target.host),
        plain_http=True if request.push.plain_http else None,
    ) as registry:
        return registry.push(layout, digest, target.name, tag=f"hk-{digest[7:19]}")


def _credentials(request: PackageRequest) -> dict[str, Credentials]:
    if request.push is None:
        return {}
    host = Reference.parse(request.push.repository).host
    return {host: Credentials(request.push.username, os.environ.get(PASSWORD, ""))}


# Small parts ------------------------------------------------------------------------------


def _dockerfile_base(base: Base, python: str) -> str:
    """The base by digest where it came from a registry, else the official image it stands for."""
    if base.digest and not base.reference.startswith("oci:"):
        return f"{Reference.parse(base.reference).repository}@{base.digest}"
    return f"python:{'.'.join(python.split('.')[:2])}-slim"


def _modules(folders: Iterable[Path]) -> Iterator[str]:
    for folder in folders:
        for name in os.listdir(folder):
            yield name.partition(".")[0]


def _scratch(home: Path) -> Path:
    folder = home / "cache" / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
