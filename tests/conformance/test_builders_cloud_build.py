"""The Cloud Build builder passes the builders' suite against servers that speak Google's APIs,
and behaves when those misbehave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud.devtools import cloudbuild_v1

from contract import logs
from pipelines.builders.base import Builder
from pipelines.builders.cloud_build.adapter import CloudBuilder
from pipelines.builders.cloud_build.builds import tag
from pipelines.builders.oci.images import Base, ImageLayer, Runtime, write_image
from pipelines.builders.oci.layers import Entry, write_layer
from pipelines.builders.oci.layout import Layout
from pipelines.builders.oci.registry import Credentials, Reference, Registry
from pipelines.executors.base import Handle, Tree
from portal.core import storage as storages
from portal.core.errors import PermanentError, TransientError
from portal.core.storage import storage
from tests.conformance.builders import (
    SERVE,
    BuilderSuite,
    store_outputs,
    store_snapshot,
    wait_for_exit,
)
from tests.fakes.google.cloud_build import CloudBuild
from tests.fakes.google.gcs import gcs
from tests.integration.builders import registries

pytestmark = [
    pytest.mark.registry,
    pytest.mark.skipif(registries.PROGRAM is None, reason="docker-registry is not installed"),
]
KNOWN = Credentials("oauth2accesstoken", registries.PASSWORD)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A registry, a storage and a Cloud Build server, and the builder's options for them."""
    folder = tmp_path_factory.mktemp("cloud")
    auth = registries.password_auth(folder / "registry", user="oauth2accesstoken")
    with registries.registry(folder / "registry", auth) as host, gcs("builds") as storage_url:
        _push_base(host, folder)
        (folder / "downloads").mkdir()
        fake = CloudBuild(storage_url, token=registries.PASSWORD, warm=folder / "downloads")
        with fake.running() as address:
            yield {
                "fake": fake,
                "host": host,
                "options": {
                    "google": {
                        "project": "acme-ml",
                        "anonymous": True,
                        "endpoints": {"cloudbuild": address, "storage": storage_url},
                        "timeout_s": 5,
                    },
                    "bucket": "builds",
                    "repository": f"{host}/hekaton/{{team}}/{{project}}",
                    "builder_image": f"{host}/hekaton/portal:1",
                    "bases": {"*": f"{host}/library/python:{{python}}-slim"},
                },
            }


def _push_base(host: str, folder: Path) -> None:
    layout = Layout(folder / "base")
    with layout.new_blob() as path:
        made = write_layer([Entry("etc/motd", content=b"base")], path)
        layout.adopt(path, made.digest)
    layer = ImageLayer(made.digest, made.diff_id, made.size_bytes, "COPY motd")
    image = write_image(
        layout, base=Base(), layers=[layer], runtime=Runtime(entrypoint=[]), annotations={}
    )
    with Registry(host, KNOWN) as registry:
        registry.push(layout, image.digest, "library/python", tag="3.11-slim")


@pytest.fixture(autouse=True)
def object_store(tmp_path_factory: pytest.TempPathFactory, settings: Any) -> Iterator[None]:
    settings.OBJECT_STORAGE = {
        "class": "portal.core.storage.FolderStorage",
        "root": str(tmp_path_factory.mktemp("objects")),
    }
    storages.storage.cache_clear()
    yield
    storages.storage.cache_clear()


@pytest.fixture
def fake(cloud: dict[str, Any]) -> Iterator[CloudBuild]:
    fake: CloudBuild = cloud["fake"]
    fake.faults = type(fake.faults)()
    yield fake
    fake.faults.hold.clear()
    fake.faults = type(fake.faults)()


class TestCloudBuild(BuilderSuite):
    @pytest.fixture
    def builder(self, cloud: dict[str, Any], fake: CloudBuild) -> Builder:
        return CloudBuilder(**cloud["options"])

    def builds(self, fake: CloudBuild, uid: str) -> list[Any]:
        return [build for build in fake.builds.values() if tag(uid) in build.tags]

    # Images ------------------------------------------------------------------------------

    def test_images_are_in_the_registry_by_digest(
        self, builder: Builder, snapshot: Tree, cloud: dict[str, Any]
    ) -> None:
        image = self.packaged(builder, snapshot, store_outputs({"m": b"1"}))
        assert image.local_only is False
        assert image.reference == f"{cloud['host']}/hekaton/acme/wine@{image.digest}"
        with Registry(cloud["host"], KNOWN) as registry:
            manifest, _, _ = registry.manifest(Reference.parse(image.reference))
        assert len(manifest["layers"]) == 4

    def test_steps_in_containers_get_an_environment_image(
        self, builder: Builder, snapshot: Tree, cloud: dict[str, Any]
    ) -> None:
        prepared = self.prepared(builder, snapshot)
        with Registry(cloud["host"], KNOWN) as registry:
            registry.manifest(Reference.parse(prepared.environment.image))

    # Exactly once ------------------------------------------------------------------------

    def test_a_lost_answer_makes_no_second_build(
        self, builder: Builder, snapshot: Tree, fake: CloudBuild
    ) -> None:
        spec = self.prepare_spec(snapshot)
        fake.faults.lose = 1
        with pytest.raises(TransientError):
            builder.start_prepare(spec)
        handle = builder.start_prepare(spec)
        assert [build.id for build in self.builds(fake, spec.uid)] == [handle.external["build"]]
        assert wait_for_exit(builder, handle).exit.code == 0  # type: ignore[union-attr]

    def test_surplus_builds_are_cancelled_and_the_first_counts(
        self, builder: CloudBuilder, snapshot: Tree, fake: CloudBuild
    ) -> None:
        spec = self.prepare_spec(snapshot)
        fake.faults.hold.set()
        first = builder.start_prepare(spec)
        original = fake.builds[first.external["build"]]
        fake._create(
            cloudbuild_v1.CreateBuildRequest(parent=builder.google.parent, build=original), None
        )
        assert builder.start_prepare(spec) == first
        states = {b.id: b.status.name for b in self.builds(fake, spec.uid)}
        assert len(states) == 2
        assert states.pop(first.external["build"]) == "QUEUED"
        assert list(states.values()) == ["CANCELLED"]

    def test_a_handle_saved_before_launch_finds_its_build(
        self, builder: Builder, snapshot: Tree
    ) -> None:
        spec = self.prepare_spec(snapshot)
        started = builder.start_prepare(spec)
        seen = builder.observe(Handle(executor=builder.name, uid=spec.uid))
        assert seen.external == started.external

    # Words -------------------------------------------------------------------------------

    def test_a_queued_build_says_what_it_waits_for(
        self, builder: Builder, snapshot: Tree, fake: CloudBuild
    ) -> None:
        fake.faults.hold.set()
        seen = builder.observe(builder.start_prepare(self.prepare_spec(snapshot)))
        assert (seen.state, seen.reason) == ("starting", "Queued")
        assert "queue" in seen.message

    @pytest.mark.parametrize(
        ("code", "kind", "reason", "words"),
        [
            ("PERMISSION_DENIED", PermanentError, "PermissionDenied", "roles/cloudbuild"),
            ("RESOURCE_EXHAUSTED", TransientError, "QuotaExceeded", "quota"),
            ("UNAVAILABLE", TransientError, "CloudFailed", "start a build"),
            ("INVALID_ARGUMENT", PermanentError, "CloudRefused", "refuses CreateBuild"),
        ],
    )
    def test_refusals_are_said_in_words(
        self, builder: Builder, snapshot: Tree, fake: CloudBuild,
        code: str, kind: type[Exception], reason: str, words: str,
    ) -> None:  # fmt: skip
        fake.faults.refuse = {"CreateBuild": [grpc.StatusCode[code]]}
        with pytest.raises(kind, match=words) as caught:
            builder.start_prepare(self.prepare_spec(snapshot))
        assert caught.value.reason == reason  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        ("status", "reason", "platform"),
        [
            ("TIMEOUT", "TimedOut", False),
            ("EXPIRED", "QueueExpired", True),
            ("INTERNAL_ERROR", "CloudFailed", True),
            ("FAILURE", "BuildFailed", True),
        ],
    )
    def test_other_endings_are_told_apart(
        self, builder: Builder, snapshot: Tree, fake: CloudBuild,
        status: str, reason: str, platform: bool,
    ) -> None:  # fmt: skip
        fake.faults.end_with = cloudbuild_v1.Build.Status[status]
        seen = wait_for_exit(builder, builder.start_prepare(self.prepare_spec(snapshot)))
        assert seen.exit is not None
        assert (seen.exit.reason, seen.exit.platform) == (reason, platform)

    def test_passing_failures_while_looking_are_tried_again(
        self, builder: Builder, snapshot: Tree, fake: CloudBuild
    ) -> None:
        handle = builder.start_prepare(self.prepare_spec(snapshot))
        fake.faults.refuse = {"GetBuild": [grpc.StatusCode.UNAVAILABLE] * 2}
        assert wait_for_exit(builder, handle).exit.code == 0  # type: ignore[union-attr]

    def test_a_cloud_that_is_down_is_unknown_not_lost(
        self, cloud: dict[str, Any], snapshot: Tree
    ) -> None:
        google = {**cloud["options"]["google"], "timeout_s": 0.5}
        google["endpoints"] = {**google["endpoints"], "cloudbuild": "127.0.0.1:9"}
        away = CloudBuilder(**{**cloud["options"], "google": google})
        handle = Handle(executor="cloud-build", uid="01X", external={"build": "x"})
        assert away.observe(handle).state == "unknown"
        assert "Google Cloud" in (away.capabilities().unavailable or "")

    def test_a_build_that_vanished_is_lost(self, builder: Builder) -> None:
        gone = Handle(executor=builder.name, uid="01X", external={"build": "no-such-build"})
        assert builder.observe(gone).state == "lost"

    # Logs and leftovers ------------------------------------------------------------------

    def test_the_log_grows_while_it_runs_and_is_closed_at_the_end(
        self, builder: Builder, tmp_path: Path
    ) -> None:
        wrong = store_snapshot({"requirements.txt": "six==99\n"}, tmp_path)
        spec = self.prepare_spec(wrong)
        wait_for_exit(builder, builder.start_prepare(spec))
        page = logs.read(logs.Folder(str(storage().local_path(spec.log_key))))
        assert page.complete
        assert any("six==99" in line.text for line in page.lines)
        assert any("Resolving requirements.txt" in line.text for line in page.lines)

    def test_forgetting_empties_the_builds_folder(
        self, builder: CloudBuilder, snapshot: Tree, fake: CloudBuild
    ) -> None:
        handle = builder.start_prepare(self.prepare_spec(snapshot))
        wait_for_exit(builder, handle)
        bucket = fake.storage.bucket("builds")
        assert list(bucket.list_blobs(prefix=f"builds/{handle.uid}/"))
        builder.forget(handle)
        assert list(bucket.list_blobs(prefix=f"builds/{handle.uid}/")) == []


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(ValueError, match="buckets"):
        CloudBuilder(google={"project": "p"}, buckets="x")
    with pytest.raises(ValueError, match="bases"):
        CloudBuilder(google={"project": "p"}, bucket="b", repository="r", builder_image="i")


def test_nothing_of_a_build_needs_a_folder_of_the_portals_machine(
    cloud: dict[str, Any], fake: CloudBuild, settings: Any, tmp_path: Path
) -> None:
    settings.OBJECT_STORAGE = {
        "class": "portal.cloud.storage_gcs.GcsStorage",
        "bucket": "builds",
        "prefix": "portal",
        "google": cloud["options"]["google"],
    }
    storages.storage.cache_clear()
    builder = CloudBuilder(**cloud["options"])
    suite = BuilderSuite()
    snapshot = store_snapshot(SERVE, tmp_path)
    suite.test_a_prepared_environment_is_found_at_once(builder, snapshot)
    suite.test_package_makes_an_image_with_evidence(builder, snapshot)
    suite.test_the_log_is_there_after_the_end(builder, snapshot)
