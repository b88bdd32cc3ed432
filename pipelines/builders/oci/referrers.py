"""Documents about an image (bill of materials, provenance), kept beside it in its registry.

Each is an artifact manifest whose `subject` is the image. Registries that do not know referrers
get the index `sha256-<hex>` that the specification has for them.

Source: OCI distribution specification 1.1, "Pushing Manifests with Subject" and "Referrers Tag
Schema".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.builders.faults import PlatformFault
from pipelines.builders.oci.images import canonical
from pipelines.builders.oci.layout import INDEX, MANIFEST, Descriptor, Layout
from pipelines.builders.oci.registry import Reference, Registry

EMPTY = "application/vnd.oci.empty.v1+json"
SPDX = "application/spdx+json"
IN_TOTO = "application/vnd.in-toto+json"


@dataclass(frozen=True)
class Document:
    media_type: str
    content: bytes


def attach(
    registry: Registry, layout: Layout, digest: str, name: str, documents: list[Document]
) -> list[str]:
    """Push the documents as referrers of the pushed image `digest` and return their digests.
    Repeating it adds nothing.

    Raises:
        PlatformFault: the registry refuses.
    """
    subject = Descriptor(MANIFEST, digest, layout.blob(digest).stat().st_size)
    config = layout.add(b"{}", EMPTY)
    made = []
    for document in documents:
        blob = layout.add(document.content, document.media_type)
        for part in (config, blob):
            registry.push_blob(layout, part.digest, name)
        manifest = layout.add(
            canonical(artifact(subject, config, blob, document.media_type)), MANIFEST
        )
        known = registry.put_manifest(
            name, manifest.digest, layout.read(manifest.digest), MANIFEST
        ).get("OCI-Subject")
        if not known:
            _index(registry, subject.digest, name, manifest, document.media_type)
        made.append(manifest.digest)
    return made


def artifact(
    subject: Descriptor, config: Descriptor, blob: Descriptor, media_type: str
) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": media_type,
        "config": config.to_json(),
        "layers": [blob.to_json()],
        "subject": subject.to_json(),
    }


def _index(
    registry: Registry, digest: str, name: str, manifest: Descriptor, media_type: str
) -> None:
    """Two pushes at the same time may lose one entry here; the specification knows no way around
    it, and the portal's own store has every document."""
    tag = digest.replace(":", "-")
    try:
        present, _, _ = registry.manifest(Reference(registry.host, name, tag))
    except PlatformFault as fault:
        if fault.reason != "RegistryNotFound":
            raise
        present = {}
    registry.put_manifest(
        name, tag, json.dumps(with_entry(present, manifest, media_type)).encode(), INDEX
    )


def with_entry(index: Mapping[str, Any], manifest: Descriptor, media_type: str) -> dict[str, Any]:
    """The index with this manifest in it once. Pure."""
    kept = [e for e in index.get("manifests", []) if e["digest"] != manifest.digest]
    entry = {**manifest.to_json(), "artifactType": media_type}
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*kept, entry]}
