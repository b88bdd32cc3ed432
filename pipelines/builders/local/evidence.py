"""What is kept beside an image: its bill of materials and how it came to be."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from pipelines.builders import provenance
from pipelines.builders.local import documents, environments, sbom
from pipelines.builders.local.documents import PackageRequest, PrepareReport
from pipelines.builders.oci.images import Base


def write_evidence(
    request: PackageRequest,
    environment: PrepareReport,
    digest: str,
    base: Base,
    beside: Path,
    started: str,
) -> None:
    """Write `sbom.spdx.json` and `provenance.json` into the folder `beside`."""
    folder = environments.environment_path(Path(request.home), environment.key)
    bill = sbom.spdx_document(
        name=request.name,
        digest=digest,
        python=environment.python,
        parts=sbom.components(environments.site_packages(folder)),
        created=now(),
        tool=f"hekatoncheir-{_version()}",
    )
    documents.write_json(bill, beside / "sbom.spdx.json")
    materials = [
        provenance.Material(
            "hekaton:snapshot", request.snapshot_digest.removeprefix("sha256:"), "code"
        ),
        provenance.Material(
            "hekaton:lock", hashlib.sha256(environment.lock.encode()).hexdigest(), "lock"
        ),
    ]
    if request.model_digest:
        materials.append(
            provenance.Material(
                "hekaton:model", request.model_digest.removeprefix("sha256:"), "model"
            )
        )
    if base.digest:
        materials.append(
            provenance.Material(
                f"oci:{base.reference}", base.digest.removeprefix("sha256:"), "base"
            )
        )
    bill_digest = hashlib.sha256((beside / "sbom.spdx.json").read_bytes()).hexdigest()
    made = provenance.statement(
        name=request.name,
        digest=digest,
        builder="local",
        version=_version(),
        parameters={**request.provenance, "serve": request.serve_command},
        internal={"environment": environment.key, "python": environment.python},
        materials=materials,
        invocation=request.uid,
        started_on=started,
        finished_on=now(),
        byproducts=[provenance.Material("sbom.spdx.json", bill_digest, "sbom")],
    )
    documents.write_json(made, beside / "provenance.json")


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _version() -> str:
    try:
        return metadata.version("hekatoncheir")
    except metadata.PackageNotFoundError:
        return "0"
