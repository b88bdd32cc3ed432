"""How an image came to be, as an in-toto statement. Pure.

Source: in-toto Attestation Framework v1 (Statement) and SLSA Provenance v1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"


@dataclass(frozen=True)
class Material:
    """Something that went in. `sha256` is lower-case hex."""

    uri: str
    sha256: str
    name: str = ""


def statement(
    *,
    name: str,
    digest: str,
    builder: str,
    version: str,
    parameters: Mapping[str, Any],
    internal: Mapping[str, Any],
    materials: Sequence[Material],
    invocation: str,
    started_on: str,
    finished_on: str,
    byproducts: Sequence[Material] = (),
) -> dict[str, Any]:
    """`parameters` is what the submission and its run decided; `internal` what the platform did.

    Data versions in `parameters["data"]` ({slot: digest} or {slot: {"name", "digest"}}) count as
    materials too.
    """
    data = parameters.get("data")
    given = [_dataset(slot, one) for slot, one in sorted((data or {}).items()) if one]
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": _hex(digest)}}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": f"urn:hekaton:build:{builder}:v1",
                "externalParameters": dict(parameters),
                "internalParameters": dict(internal),
                "resolvedDependencies": [_resource(one) for one in [*materials, *given]],
            },
            "runDetails": {
                "builder": {
                    "id": f"urn:hekaton:builder:{builder}",
                    "version": {"hekatoncheir": version},
                },
                "metadata": {
                    "invocationId": invocation,
                    "startedOn": started_on,
                    "finishedOn": finished_on,
                },
                "byproducts": [_resource(one) for one in byproducts],
            },
        },
    }


def _dataset(slot: str, version: str | Mapping[str, str]) -> Material:
    if isinstance(version, str):
        return Material(f"hekaton:dataset/{slot}", _hex(version), slot)
    return Material(f"hekaton:dataset/{version['name']}", _hex(version["digest"]), slot)


def _resource(material: Material) -> dict[str, Any]:
    found: dict[str, Any] = {"uri": material.uri, "digest": {"sha256": material.sha256}}
    if material.name:
        found["name"] = material.name
    return found


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
