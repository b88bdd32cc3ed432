"""The base image that a request means, and the registry that it pushes to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from pipelines.builders.faults import PlatformFault
from pipelines.builders.local.documents import PackageRequest, PrepareRequest
from pipelines.builders.oci import referrers
from pipelines.builders.oci.bases import base_image
from pipelines.builders.oci.images import Base
from pipelines.builders.oci.layout import Layout
from pipelines.builders.oci.registry import Credentials, Reference, Registry

PASSWORD = "HEKATON_REGISTRY_PASSWORD"  # noqa: S105 - the name of the variable
METADATA_HOST = "metadata.google.internal"
Request = PrepareRequest | PackageRequest


def base_for(layout: Layout, request: Request, python: str) -> Base:
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


def push(layout: Layout, digest: str, request: Request) -> str:
    """Push the image where the request says; returns its reference."""
    with _registry(request) as (registry, name):
        print(f"Pushing to {registry.host}/{name}.", flush=True)
        return registry.push(layout, digest, name, tag=f"hk-{digest[7:19]}")


def attach_evidence(layout: Layout, digest: str, request: Request, folder: Path) -> None:
    """Put bill of materials and provenance beside the pushed image."""
    documents = [
        referrers.Document(referrers.SPDX, (folder / "sbom.spdx.json").read_bytes()),
        referrers.Document(referrers.IN_TOTO, (folder / "provenance.json").read_bytes()),
    ]
    with _registry(request) as (registry, name):
        referrers.attach(registry, layout, digest, name, documents)


@contextmanager
def _registry(request: Request) -> Iterator[tuple[Registry, str]]:
    assert request.push is not None
    target = Reference.parse(request.push.repository)
    with Registry(
        target.host,
        _credentials(request).get(target.host),
        plain_http=True if request.push.plain_http else None,
    ) as registry:
        yield registry, target.name


def _credentials(request: Request) -> dict[str, Credentials]:
    if request.push is None:
        return {}
    host = Reference.parse(request.push.repository).host
    if request.push.metadata_token:
        return {host: Credentials("oauth2accesstoken", metadata_token())}
    return {host: Credentials(request.push.username, os.environ.get(PASSWORD, ""))}


def metadata_token() -> str:
    """An access token of the machine's service account on Google Cloud.

    Source: https://cloud.google.com/compute/docs/access/authenticate-workloads
    """
    host = os.environ.get("GCE_METADATA_HOST", METADATA_HOST)
    try:
        answer = httpx.get(
            f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token",
            headers={"Metadata-Flavor": "Google"},
            timeout=10,
        )
        answer.raise_for_status()
        return str(answer.json()["access_token"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise PlatformFault(
            "NoCredentials",
            f"The build machine's service account gives no token ({error}), so the registry "
            "cannot be used.",
        ) from error
