"""`package`: environment + code + model -> OCI image, with SBOM and provenance beside it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from contract.snapshot import SnapshotError, read_archive
from pipelines.builders import image_contents
from pipelines.builders.faults import PlatformFault, SubmissionFault
from pipelines.builders.local import environments
from pipelines.builders.local.documents import (
    LayerReport,
    PackageReport,
    PackageRequest,
    PrepareReport,
)
from pipelines.builders.local.evidence import now, write_evidence
from pipelines.builders.local.interpreters import choose, discover
from pipelines.builders.local.layers import cached_layer, environment_layer
from pipelines.builders.local.registries import attach_evidence, base_for, push
from pipelines.builders.local.serve_check import Contents, check_serve
from pipelines.builders.local.snapshots import SnapshotFiles
from pipelines.builders.oci.images import Base, ImageLayer, Runtime, write_image
from pipelines.builders.oci.layers import Entry, tree
from pipelines.builders.oci.layout import Layout
from pipelines.builders.oci.registry import Reference


def package(request: PackageRequest, *, beside: Path) -> PackageReport:
    """Make (and push) the image; write SBOM and provenance into the folder `beside`.

    Raises:
        SubmissionFault, PlatformFault: with the cause in words.
    """
    started = now()
    home = Path(request.home)
    environment = _environment(home, request)
    check(request, environment)
    layout = Layout(home / "images")
    with layout.building():
        base = base_for(layout, request, environment.python)
        layers = [
            environment_layer(home, layout, environment, request.python_home),
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
            reference = push(layout, image.digest, request)
        write_evidence(request, environment, image.digest, base, beside, started)
        if reference != image.digest:
            attach_evidence(layout, image.digest, request, beside)
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


def _environment(home: Path, request: PackageRequest) -> PrepareReport:
    """The prepared environment; where the request brings its lock, made again if need be."""
    found = environments.find(home, request.environment_key)
    if found is not None:
        return found
    if request.lock is None:
        raise PlatformFault(
            "EnvironmentMissing", "The prepared environment is gone from this machine."
        )
    interpreter = choose(request.python, discover(home))
    made = environments.create(
        home, uid=request.uid, lock=request.lock, interpreter=interpreter, compile_bytecode=False
    )
    if made.key != request.environment_key:
        raise PlatformFault(
            "EnvironmentChanged",
            "The lock gives another environment here than when it was prepared: the build "
            "machine's Python was changed meanwhile. Run the submission again.",
        )
    return made


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

        return cached_layer(
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
        cached_layer(
            home,
            layout,
            role="model",
            key=request.model_digest,
            created_by="COPY model /opt/hekaton/model",
            entries=lambda: tree(folder, image_contents.MODEL.lstrip("/")),
        )
    ]


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
