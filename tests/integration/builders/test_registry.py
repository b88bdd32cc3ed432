"""Pushing to and pulling from real registries."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pipelines.builders.faults import PlatformFault
from pipelines.builders.oci.bases import base_image
from pipelines.builders.oci.images import Base, ImageLayer, Runtime, write_image
from pipelines.builders.oci.layers import Entry, write_layer
from pipelines.builders.oci.layout import MANIFEST, Layout
from pipelines.builders.oci.registry import Credentials, Reference, Registry
from tests.integration.builders import registries
from tests.integration.builders.conftest import SERVE, Tool

pytestmark = [
    pytest.mark.registry,
    pytest.mark.skipif(registries.PROGRAM is None, reason="docker-registry is not installed"),
]
KNOWN = Credentials(registries.USER, registries.PASSWORD)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registries.registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def add_image(layout: Layout, text: str = "hello") -> str:
    with layout.new_blob() as path:
        made = write_layer([Entry("etc/motd", content=text.encode())], path)
        layout.adopt(path, made.digest)
    layer = ImageLayer(made.digest, made.diff_id, made.size_bytes, "COPY motd")
    return write_image(
        layout,
        base=Base(),
        layers=[layer],
        runtime=Runtime(entrypoint=["/bin/true"], env={"PATH": "/base/bin", "LANG": "C"}),
        annotations={},
    ).digest


def test_a_pushed_image_has_the_same_digest_there(host: str, layout: Layout) -> None:
    digest = add_image(layout)
    with Registry(host) as registry:
        reference = registry.push(layout, digest, "acme/wine", tag="v1")
    assert reference == f"{host}/acme/wine@{digest}"
    for name in (digest, "v1"):
        answer = httpx.get(
            f"http://{host}/v2/acme/wine/manifests/{name}", headers={"Accept": MANIFEST}
        )
        assert f"sha256:{hashlib.sha256(answer.content).hexdigest()}" == digest


def test_pushing_again_sends_no_blob(host: str, layout: Layout) -> None:
    digest = add_image(layout, "again")
    flaky = registries.Flaky(host)
    with flaky.running() as through, Registry(through) as registry:
        registry.push(layout, digest, "acme/again")
        uploads = sum(method == "POST" for method, _ in flaky.seen)
        registry.push(layout, digest, "acme/again")
        assert uploads == 2
        assert sum(method == "POST" for method, _ in flaky.seen) == uploads


@pytest.mark.parametrize("drop", [False, True])
def test_passing_failures_are_tried_again(host: str, layout: Layout, drop: bool) -> None:
    digest = add_image(layout, f"flaky {drop}")
    flaky = registries.Flaky(host)
    flaky.drop = drop
    flaky.failures = {"HEAD": 1, "POST": 2, "PUT": 2}
    with flaky.running() as through, Registry(through, pause_s=0.01) as registry:
        registry.push(layout, digest, "acme/flaky")
    assert httpx.get(f"http://{host}/v2/acme/flaky/manifests/{digest}",
                     headers={"Accept": MANIFEST}).status_code == 200  # fmt: skip


def test_a_registry_that_stays_down_is_said(host: str, layout: Layout) -> None:
    digest = add_image(layout)
    flaky = registries.Flaky(host)
    flaky.failures = {"HEAD": 99}
    with (
        flaky.running() as through,
        Registry(through, pause_s=0.01) as registry,
        pytest.raises(PlatformFault, match="answered 503"),
    ):
        registry.push(layout, digest, "acme/down")


def test_nobody_there_is_said(layout: Layout) -> None:
    digest = add_image(layout)
    with (
        Registry("127.0.0.1:9", pause_s=0.01) as registry,
        pytest.raises(PlatformFault) as caught,
    ):
        registry.push(layout, digest, "acme/x")
    assert caught.value.reason == "RegistryUnreachable"


@pytest.fixture(scope="module", params=["password", "token"])
def private(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("private")
    if request.param == "password":
        with registries.registry(folder, registries.password_auth(folder)) as host:
            yield host
    else:
        with registries.token_auth(folder) as auth, registries.registry(folder, auth) as host:
            yield host


def test_with_credentials_a_private_registry_takes_and_gives(
    private: str, layout: Layout, tmp_path: Path
) -> None:
    digest = add_image(layout)
    with Registry(private, KNOWN) as registry:
        registry.push(layout, digest, "acme/private", tag="1")
    other = Layout(tmp_path / "other")
    base = base_image(other, f"{private}/acme/private:1", credentials={private: KNOWN})
    assert base.digest == digest
    assert all(other.has(layer.digest) for layer in base.layers)


@pytest.mark.parametrize("credentials", [None, Credentials("builder", "wrong")])
def test_without_them_it_says_whom_it_refused(
    private: str, layout: Layout, credentials: Credentials | None
) -> None:
    digest = add_image(layout)
    with (
        Registry(private, credentials, pause_s=0.01) as registry,
        pytest.raises(PlatformFault, match="does not let") as caught,
    ):
        registry.push(layout, digest, "acme/private")
    assert caught.value.reason == "RegistryDenied"


# Bases -----------------------------------------------------------------------------------


def test_a_base_is_kept_and_its_tag_remembered_for_bad_days(
    host: str, layout: Layout, tmp_path: Path
) -> None:
    digest = add_image(layout, "base")
    flaky = registries.Flaky(host)
    with flaky.running() as through:
        with Registry(through) as registry:
            registry.push(layout, digest, "library/python", tag="3.11")
        ours = Layout(tmp_path / "ours")
        given = f"{through}/library/python:3.11"
        first = base_image(ours, given)
        flaky.drop, flaky.failures = True, {"GET": 99}
        assert base_image(ours, given) == first
        assert base_image(ours, f"{given}@{digest}").digest == digest
    assert first.env == {"PATH": "/base/bin", "LANG": "C"}
    assert [layer.role for layer in first.layers] == ["base"]


def test_a_base_that_is_not_there_is_said(host: str, tmp_path: Path) -> None:
    with pytest.raises(PlatformFault) as caught:
        base_image(Layout(tmp_path), f"{host}/no/such:1")
    assert caught.value.reason == "RegistryNotFound"


def test_a_base_may_come_from_a_layout(layout: Layout, tmp_path: Path) -> None:
    digest = add_image(layout)
    assert base_image(Layout(tmp_path / "ours"), f"oci:{layout.root}").digest == digest


def test_a_base_blob_that_was_changed_is_refused(layout: Layout, tmp_path: Path) -> None:
    digest = add_image(layout)
    layer = layout.read_json(digest)["layers"][0]["digest"]
    layout.blob(layer).write_bytes(b"something else")
    with pytest.raises(PlatformFault, match="damaged"):
        base_image(Layout(tmp_path / "ours"), f"oci:{layout.root}")


def test_the_reference_is_checked_against_what_arrives(host: str, layout: Layout) -> None:
    digest = add_image(layout, "real")
    with Registry(host) as registry:
        registry.push(layout, digest, "acme/real")
        _, body, found = registry.manifest(Reference.parse(f"{host}/acme/real@{digest}"))
    assert (found, len(body) > 0) == (digest, True)


def test_a_torn_download_is_fetched_again_and_never_kept(
    host: str, layout: Layout, tmp_path: Path
) -> None:
    digest = add_image(layout, "torn")
    flaky = registries.Flaky(host)
    with flaky.running() as through:
        with Registry(through) as registry:
            registry.push(layout, digest, "acme/torn", tag="1")
        flaky.corrupt = 1
        assert base_image(Layout(tmp_path / "one"), f"{through}/acme/torn:1").digest == digest
        flaky.corrupt = 99
        with pytest.raises(PlatformFault, match="digest"):
            base_image(Layout(tmp_path / "two"), f"{through}/acme/torn:1")
    assert not list((tmp_path / "two" / "blobs").glob("sha256/[0-9a-f]*"))


def test_our_token_does_not_follow_a_redirect(layout: Layout, tmp_path: Path) -> None:
    digest = add_image(layout, "redirected")
    auth = registries.password_auth(tmp_path / "registry")
    with registries.registry(tmp_path / "registry", auth) as host:
        flaky = registries.Flaky(host)
        with flaky.running() as through, registries.blob_store(host) as (elsewhere, seen):
            with Registry(through, KNOWN) as registry:
                registry.push(layout, digest, "acme/redirected", tag="1")
            flaky.elsewhere = elsewhere
            given = f"{through}/acme/redirected:1"
            base = base_image(Layout(tmp_path / "ours"), given, credentials={through: KNOWN})
    assert base.digest == digest
    assert seen == [None, None]


# The whole way ---------------------------------------------------------------------------


def test_the_builder_makes_and_pushes_a_portable_image(
    private: str, layout: Layout, tool: Tool
) -> None:
    base = add_image(layout, "python base")
    with Registry(private, KNOWN) as registry:
        registry.push(layout, base, "library/python", tag="3.11-slim")
    made = tool.package(
        SERVE,
        bases={"*": f"{private}/library/python:{{python}}-slim"},
        push={"repository": f"{private}/hekaton/acme/wine", "username": registries.USER},
        env={"HEKATON_REGISTRY_PASSWORD": registries.PASSWORD},
    )
    assert made.code == 0, made.log
    digest = made.result["digest"]
    assert made.result["local_only"] is False
    assert made.result["reference"] == f"{private}/hekaton/acme/wine@{digest}"
    assert [layer["role"] for layer in made.result["layers"]] == [
        "base", "environment", "code", "model"]  # fmt: skip
    with Registry(private, KNOWN) as registry:
        manifest, _, _ = registry.manifest(Reference.parse(made.result["reference"]))
    assert manifest["annotations"]["org.opencontainers.image.base.digest"] == base
    assert made.result["dockerfile"].startswith(f"FROM {private}/library/python@{base}")
    assert registries.PASSWORD not in made.log


def test_bill_and_provenance_are_beside_the_pushed_image(
    host: str, layout: Layout, tool: Tool
) -> None:
    add_image(layout)
    wanted = {
        "bases": {"*": f"oci:{layout.root}"},
        "push": {"repository": f"{host}/hekaton/acme/evidence"},
    }
    made = tool.package(SERVE, **wanted)
    tool.package(SERVE, uid="01AGAIN", **wanted)
    digest = made.result["digest"]
    with Registry(host) as registry:
        index, _, _ = registry.manifest(
            Reference(host, "hekaton/acme/evidence", tag=digest.replace(":", "-"))
        )
        found: dict[str, list[bytes]] = {}
        for entry in index["manifests"]:
            one = Reference(host, "hekaton/acme/evidence", digest=entry["digest"])
            manifest, _, _ = registry.manifest(one)
            assert manifest["subject"]["digest"] == digest
            blob = manifest["layers"][0]["digest"]
            content = httpx.get(f"http://{host}/v2/hekaton/acme/evidence/blobs/{blob}").content
            found.setdefault(entry["artifactType"], []).append(content)
    folder = tool.home / "builds" / "01PACKAGE"
    assert (folder / "sbom.spdx.json").read_bytes() in found["application/spdx+json"]
    assert (folder / "provenance.json").read_bytes() in found["application/vnd.in-toto+json"]
    assert len(found["application/vnd.in-toto+json"]) == 2  # one a build


def test_a_push_that_is_denied_is_the_platforms_fault(
    private: str, layout: Layout, tool: Tool
) -> None:
    failed = tool.package(
        SERVE,
        bases={"*": f"oci:{layout.root}"} if add_image(layout) else {},
        push={"repository": f"{private}/hekaton/acme/wine", "username": "nobody"},
        env={"HEKATON_REGISTRY_PASSWORD": "wrong"},
    )
    assert failed.code == 2, failed.log
    assert failed.result["reason"] == "RegistryDenied"
    assert "credentials" in failed.result["message"]


def test_prepare_pushes_the_environment_for_steps_in_containers(
    host: str, layout: Layout, tool: Tool
) -> None:
    add_image(layout, "python base")
    wanted = {
        "bases": {"*": f"oci:{layout.root}"},
        "push": {"repository": f"{host}/hekaton/shared/environments"},
    }
    made = tool.prepare(SERVE, **wanted)
    assert made.code == 0, made.log
    image = made.result["image"]
    with Registry(host) as registry:
        manifest, _, digest = registry.manifest(Reference.parse(image))
    assert image == f"{host}/hekaton/shared/environments@{digest}"
    assert len(manifest["layers"]) == 2
    again = tool.prepare(SERVE, **wanted)
    assert again.result == made.result
    assert "Pushing" not in again.log
