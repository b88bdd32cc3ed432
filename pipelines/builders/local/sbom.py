"""The software bill of materials of an image. Source: SPDX 2.3, JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.utils import canonicalize_name

NO_ASSERTION = "NOASSERTION"


@dataclass(frozen=True)
class Component:
    name: str
    version: str
    license: str = NO_ASSERTION  # an SPDX expression
    supplier: str = NO_ASSERTION
    homepage: str = ""


def components(site_packages: Iterable[Path]) -> list[Component]:
    """The distributions installed there, by name."""
    found = {}
    for dist in metadata.distributions(path=[str(path) for path in site_packages]):
        meta = dist.metadata.json
        found[canonicalize_name(dist.metadata["Name"])] = Component(
            name=dist.metadata["Name"],
            version=dist.version,
            license=_license(meta.get("license_expression")),
            supplier=_one_line(meta.get("author") or meta.get("maintainer")),
            homepage=str(meta.get("home_page") or ""),
        )
    return [found[name] for name in sorted(found)]


def spdx_document(
    *,
    name: str,
    digest: str,
    python: str,
    parts: Iterable[Component],
    created: str,
    tool: str,
) -> dict[str, Any]:
    """`created` is UTC, `2026-01-31T12:00:00Z`. `digest` is the image's. Pure."""
    image_id = "SPDXRef-Image"
    packages: list[dict[str, Any]] = [
        {
            "SPDXID": image_id,
            "name": name,
            "versionInfo": digest,
            "downloadLocation": NO_ASSERTION,
            "filesAnalyzed": False,
            "primaryPackagePurpose": "CONTAINER",
            "checksums": [{"algorithm": "SHA256", "checksumValue": digest.removeprefix("sha256:")}],
        },
        _package("SPDXRef-Python", Component("python", python, license="PSF-2.0"), "generic"),
    ]
    relations = [
        _relation("SPDXRef-DOCUMENT", "DESCRIBES", image_id),
        _relation(image_id, "CONTAINS", "SPDXRef-Python"),
    ]
    for part in parts:
        spdx_id = "SPDXRef-Package-" + re.sub(r"[^a-zA-Z0-9.-]+", "-", canonicalize_name(part.name))
        packages.append(_package(spdx_id, part, "pypi"))
        relations.append(_relation(image_id, "CONTAINS", spdx_id))
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"urn:hekaton:sbom:{digest.removeprefix('sha256:')}",
        "creationInfo": {"created": created, "creators": [f"Tool: {tool}"]},
        "packages": packages,
        "relationships": relations,
    }


def _package(spdx_id: str, part: Component, kind: str) -> dict[str, Any]:
    supplier = part.supplier
    package = {
        "SPDXID": spdx_id,
        "name": part.name,
        "versionInfo": part.version,
        "downloadLocation": NO_ASSERTION,
        "filesAnalyzed": False,
        "licenseDeclared": part.license,
        "licenseConcluded": NO_ASSERTION,
        "copyrightText": NO_ASSERTION,
        "supplier": supplier if supplier == NO_ASSERTION else f"Person: {supplier}",
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": f"pkg:{kind}/{canonicalize_name(part.name)}@{part.version}",
            }
        ],
    }
    if re.fullmatch(r"https?://\S+", part.homepage):
        package["homepage"] = part.homepage
    return package


def _relation(of: str, kind: str, to: str) -> dict[str, str]:
    return {"spdxElementId": of, "relationshipType": kind, "relatedSpdxElement": to}


def _license(expression: str | list[str] | None) -> str:
    """Only what is a valid SPDX expression; the older free-text field is not."""
    if not isinstance(expression, str):
        return NO_ASSERTION
    try:
        return str(canonicalize_license_expression(expression))
    except InvalidLicenseExpression:
        return NO_ASSERTION


def _one_line(text: str | list[str] | None) -> str:
    cleaned = re.sub(r"[^\w .,'&+-]+", " ", text if isinstance(text, str) else "").strip()
    return re.sub(r"\s+", " ", cleaned)[:120] or NO_ASSERTION
