"""Base images: found in a registry or another layout, copied into ours once.

A reference by tag is looked up each time; where the registry cannot be reached the image that
the tag last meant is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pipelines.builders.faults import PlatformFault
from pipelines.builders.oci.images import Base, ImageLayer, machine
from pipelines.builders.oci.layers import LAYER
from pipelines.builders.oci.layout import MANIFEST, Descriptor, Layout
from pipelines.builders.oci.registry import Credentials, Reference, Registry

Fetch = Callable[[Descriptor], None]
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def base_image(
    layout: Layout,
    given: str,
    *,
    credentials: Mapping[str, Credentials] | None = None,
    plain_http: bool | None = None,
) -> Base:
    """The base image `given` (`oci:/folder[@sha256:...]` or a registry reference), its blobs in
    `layout`. Empty: no base.

    Raises:
        PlatformFault: it cannot be had.
    """
    if not given:
        return Base()
    if given.startswith("oci:"):
        return _from_layout(layout, given)
    try:
        reference = Reference.parse(given)
    except ValueError as error:
        raise PlatformFault("BadBaseImage", f"The builder's base image is {error}.") from error
    known = _Memory(layout)
    digest = reference.digest or ""
    if digest and layout.has(digest) and (base := _present(layout, given, digest)):
        return base
    with Registry(
        reference.host, (credentials or {}).get(reference.host), plain_http=plain_http
    ) as registry:
        try:
            digest = _fetch(layout, registry, reference)
        except PlatformFault as fault:
            remembered = known.get(given)
            if fault.reason == "RegistryUnreachable" and remembered:
                base = _present(layout, given, remembered)
                if base is not None:
                    return base
            raise
    known.put(given, digest)
    base = _present(layout, given, digest)
    if base is None:
        raise PlatformFault("BaseImageBroken", f"The base image {given} is not complete.")
    return base


def _fetch(layout: Layout, registry: Registry, reference: Reference) -> str:
    manifest, body, digest = registry.manifest(reference)
    if "manifests" in manifest:
        chosen = for_this_machine(manifest["manifests"], str(reference.manifest))
        one = Reference(reference.host, reference.name, digest=chosen["digest"])
        manifest, body, digest = registry.manifest(one)
    for part in [manifest["config"], *manifest["layers"]]:
        registry.pull_blob(layout, Descriptor.from_json(part), reference.name)
    layout.add(body, manifest.get("mediaType", MANIFEST))
    return digest


def _from_layout(layout: Layout, given: str) -> Base:
    folder, _, digest = given.removeprefix("oci:").partition("@")
    source = Layout(Path(folder))
    listed = [image.to_json() for image in source.images()]
    if not listed:
        raise PlatformFault("BaseImageMissing", f"There is no OCI image layout at {folder}.")
    if not digest:
        digest = for_this_machine(listed, folder)["digest"]
    manifest = source.read_json(digest)
    for part in [manifest["config"], *manifest["layers"], {"digest": digest}]:
        _copy(source, layout, part["digest"])
    base = _present(layout, given, digest)
    if base is None:
        raise PlatformFault("BaseImageBroken", f"The base image at {folder} is not complete.")
    return base


def for_this_machine(manifests: Iterable[Mapping[str, Any]], where: str) -> Mapping[str, Any]:
    """The entry of an index for linux on this machine's architecture. Pure."""
    entries = list(manifests)
    for entry in entries:
        platform = entry.get("platform") or {"os": "linux", "architecture": machine()}
        if platform.get("os") == "linux" and platform.get("architecture") == machine():
            return entry
    raise PlatformFault("BaseImageMissing", f"{where} has no image for linux/{machine()}.")


def _present(layout: Layout, given: str, digest: str) -> Base | None:
    """The base from blobs that are all in the layout, or None."""
    try:
        manifest = layout.read_json(digest)
        config = layout.read_json(manifest["config"]["digest"])
    except (OSError, ValueError):
        return None
    parts = [Descriptor.from_json(part) for part in manifest["layers"]]
    if not all(layout.has(part.digest) for part in parts):
        return None
    env = dict(line.split("=", 1) for line in config.get("config", {}).get("Env") or [])
    diff_ids = config["rootfs"]["diff_ids"]
    return Base(
        layers=tuple(
            ImageLayer(
                digest=part.digest,
                diff_id=diff_id,
                size_bytes=part.size_bytes,
                created_by=f"FROM {given}",
                media_type=LAYER if part.media_type == DOCKER_LAYER else part.media_type,
                role="base",
            )
            for part, diff_id in zip(parts, diff_ids, strict=True)
        ),
        env=env,
        architecture=config["architecture"],
        os=config["os"],
        reference=given,
        digest=digest,
    )


def _copy(source: Layout, target: Layout, digest: str) -> None:
    if target.has(digest):
        return
    with target.new_blob() as path:
        shutil.copyfile(source.blob(digest), path)
        with path.open("rb") as file:
            if f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" != digest:
                raise PlatformFault("BaseImageBroken", f"A blob of {source.root} is damaged.")
        target.adopt(path, digest)


class _Memory:
    """Which digest a tag last meant, beside the layout's index."""

    def __init__(self, layout: Layout) -> None:
        self._folder = layout.root / "bases"

    def get(self, given: str) -> str:
        try:
            return str(json.loads(self._path(given).read_text())["digest"])
        except (OSError, ValueError, KeyError):
            return ""

    def put(self, given: str, digest: str) -> None:
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path(given).write_text(json.dumps({"reference": given, "digest": digest}))

    def _path(self, given: str) -> Path:
        return self._folder / f"{hashlib.sha256(given.encode()).hexdigest()}.json"
