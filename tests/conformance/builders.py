"""What every builder must pass. A test module subclasses `BuilderSuite` and gives `builder`.

The suite speaks to the builder only through its protocol and to the object store.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from contract import snapshot
from pipelines.builders.base import Builder, ImageRef, PackageSpec, PrepareResult, PrepareSpec
from pipelines.executors.base import Handle, Observation, Tree
from portal.core.storage import storage

SERVE = {
    "serve.py": "import six\n\n\nasync def app(scope, receive, send): ...\n",
    "requirements.txt": "six==1.17.0\n",
}

_ENVIRONMENTS: dict[tuple[str, str], PrepareResult] = {}


def uid() -> str:
    return uuid.uuid4().hex[:26].upper()


def store_snapshot(files: Mapping[str, str], tmp_path: Path) -> Tree:
    folder = tmp_path / uid()
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    scanned = snapshot.scan(folder)
    packed = io.BytesIO()
    snapshot.write_archive(folder, scanned, packed)
    key = f"snapshots/{scanned.digest}.tar.gz"
    storage().put(key, io.BytesIO(packed.getvalue()))
    return Tree(key=key, digest=scanned.digest)


def store_outputs(files: Mapping[str, bytes]) -> Tree:
    name = uid()
    listed = []
    for path, data in files.items():
        storage().put(f"attempts/{name}/output/{path}", io.BytesIO(data))
        listed.append(snapshot.File(path, len(data), _sha256(data), False))
    return Tree(key=f"attempts/{name}/output", digest=snapshot.digest_of(listed))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wait_for_exit(builder: Builder, handle: Handle, deadline_s: float = 90.0) -> Observation:
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        seen = builder.observe(handle)
        if seen.state in ("exited", "lost"):
            return seen
        time.sleep(0.02)
    raise AssertionError(f"still {seen.state} after {deadline_s} s: {seen.message}")


class BuilderSuite:
    deterministic = True

    @pytest.fixture
    def builder(self) -> Iterator[Builder]:
        raise NotImplementedError

    @pytest.fixture
    def snapshot(self, builder: Builder, tmp_path: Path) -> Tree:
        return store_snapshot(SERVE, tmp_path)

    # Building blocks ---------------------------------------------------------------------

    def prepare_spec(self, snapshot: Tree, **changes: Any) -> PrepareSpec:
        values: dict[str, Any] = {
            "uid": uid(),
            "project_uid": "P" * 26,
            "run_uid": "R" * 26,
            "snapshot": snapshot,
            "requirements": "requirements.txt",
            "python": "3.11",
            "lock": None,
            "timeout_s": 120.0,
        }
        values |= changes
        return PrepareSpec(log_key=f"logs/{values['uid']}", **values)

    def package_spec(
        self, snapshot: Tree, prepared: PrepareResult, model: Tree | None, **changes: Any
    ) -> PackageSpec:
        values: dict[str, Any] = {
            "uid": uid(),
            "project_uid": "P" * 26,
            "run_uid": "R" * 26,
            "team": "acme",
            "project": "wine",
            "environment": prepared.environment,
            "lock": prepared.lock,
            "snapshot": snapshot,
            "model": model,
            "serve_command": "python serve.py",
            "requirements": "requirements.txt",
            "provenance": {"submission": "S" * 26, "data": {}},
            "timeout_s": 120.0,
        }
        values |= changes
        return PackageSpec(log_key=f"logs/{values['uid']}", **values)

    def prepared(self, builder: Builder, snapshot: Tree, **changes: Any) -> PrepareResult:
        handle = builder.start_prepare(self.prepare_spec(snapshot, **changes))
        seen = wait_for_exit(builder, handle)
        assert seen.exit is not None
        assert seen.exit.code == 0, seen.exit
        return builder.prepared(handle)

    def environment(self, builder: Builder, snapshot: Tree) -> PrepareResult:
        """As `prepared`, once a suite: for tests of what comes after."""
        key = (type(self).__name__, snapshot.digest)
        if key not in _ENVIRONMENTS:
            _ENVIRONMENTS[key] = self.prepared(builder, snapshot)
        return _ENVIRONMENTS[key]

    def packaged(
        self, builder: Builder, snapshot: Tree, model: Tree | None, **changes: Any
    ) -> ImageRef:
        prepared = self.environment(builder, snapshot)
        handle = builder.start_package(self.package_spec(snapshot, prepared, model, **changes))
        seen = wait_for_exit(builder, handle)
        assert seen.exit is not None
        assert seen.exit.code == 0, seen.exit
        return builder.packaged(handle)

    def failure(self, builder: Builder, handle: Handle) -> tuple[str, str]:
        """Reason and message of a build that failed by the submission's fault."""
        seen = wait_for_exit(builder, handle)
        assert seen.exit is not None
        assert seen.exit.code != 0
        assert seen.exit.platform is False, seen.exit
        return seen.exit.reason, seen.exit.message

    # Prepare -----------------------------------------------------------------------------

    def test_it_says_what_it_can_do(self, builder: Builder) -> None:
        can = builder.capabilities()
        assert can.name == builder.name
        assert can.unavailable is None
        assert can.isolation

    def test_prepare_locks_and_installs_the_requirements(
        self, builder: Builder, snapshot: Tree
    ) -> None:
        result = self.prepared(builder, snapshot)
        assert [(p.name, p.version) for p in result.packages] == [("six", "1.17.0")]
        assert "six==1.17.0" in result.lock
        assert "--hash=sha256:" in result.lock
        assert result.environment.python.startswith("3.11")

    def test_a_prepared_environment_is_found_at_once(
        self, builder: Builder, snapshot: Tree
    ) -> None:
        spec = self.prepare_spec(snapshot)
        result = self.prepared(builder, snapshot)
        assert builder.find_environment(spec) == result
        known_lock = self.prepare_spec(snapshot, lock=result.lock)
        assert builder.find_environment(known_lock) == result

    def test_an_environment_that_nobody_made_is_not_found(
        self, builder: Builder, tmp_path: Path
    ) -> None:
        other = store_snapshot({**SERVE, "requirements.txt": "toolz==0.12.1\n"}, tmp_path)
        assert builder.find_environment(self.prepare_spec(other)) is None

    def test_the_same_requirements_share_one_environment(
        self, builder: Builder, snapshot: Tree, tmp_path: Path
    ) -> None:
        other = store_snapshot({**SERVE, "more.py": "x = 1\n"}, tmp_path)
        first, second = self.prepared(builder, snapshot), self.prepared(builder, other)
        assert first.environment == second.environment

    def test_a_submission_without_requirements_has_an_empty_environment(
        self, builder: Builder, snapshot: Tree
    ) -> None:
        result = self.prepared(builder, snapshot, requirements=None)
        assert result.packages == ()
        assert result.lock == ""

    def test_starting_twice_is_one_build(self, builder: Builder, snapshot: Tree) -> None:
        spec = self.prepare_spec(snapshot)
        first, second = builder.start_prepare(spec), builder.start_prepare(spec)
        assert first.uid == second.uid
        wait_for_exit(builder, first)
        assert builder.prepared(first) == builder.prepared(second)

    def test_an_unresolvable_requirement_is_named(self, builder: Builder, tmp_path: Path) -> None:
        wrong = store_snapshot({**SERVE, "requirements.txt": "six==99.0\n"}, tmp_path)
        reason, message = self.failure(builder, builder.start_prepare(self.prepare_spec(wrong)))
        assert reason == "Unresolvable"
        assert "six==99.0" in message
        assert "requirements.txt" in message

    def test_a_missing_requirements_file_is_named(self, builder: Builder, snapshot: Tree) -> None:
        spec = self.prepare_spec(snapshot, requirements="locks/prod.txt")
        reason, message = self.failure(builder, builder.start_prepare(spec))
        assert reason == "RequirementsMissing"
        assert "locks/prod.txt" in message

    # Package -----------------------------------------------------------------------------

    def test_package_makes_an_image_with_evidence(self, builder: Builder, snapshot: Tree) -> None:
        model = store_outputs({"model.json": b'{"a": 1}'})
        image = self.packaged(builder, snapshot, model)
        assert image.digest.startswith("sha256:")
        assert image.digest in image.reference
        assert image.dockerfile.startswith("FROM ")
        bill = json.load(storage().open(image.sbom_key))
        assert "six" in {package["name"] for package in bill["packages"]}
        made = json.load(storage().open(image.provenance_key))
        assert made["subject"][0]["digest"] == {"sha256": image.digest.removeprefix("sha256:")}
        materials = made["predicate"]["buildDefinition"]["resolvedDependencies"]
        digests = {one["digest"]["sha256"] for one in materials}
        assert {snapshot.digest, model.digest} <= digests

    def test_the_same_inputs_give_the_same_digest(self, builder: Builder, snapshot: Tree) -> None:
        if not self.deterministic:
            pytest.skip("this builder does not promise it")
        model = store_outputs({"model.bin": b"weights"})
        first = self.packaged(builder, snapshot, model)
        second = self.packaged(builder, snapshot, model)
        assert first.digest == second.digest
        assert first.provenance_key != second.provenance_key

    def test_another_model_gives_another_digest(self, builder: Builder, snapshot: Tree) -> None:
        first = self.packaged(builder, snapshot, store_outputs({"model.bin": b"one"}))
        second = self.packaged(builder, snapshot, store_outputs({"model.bin": b"two"}))
        assert first.digest != second.digest

    def test_a_missing_serve_file_is_named(self, builder: Builder, snapshot: Tree) -> None:
        prepared = self.environment(builder, snapshot)
        spec = self.package_spec(
            snapshot, prepared, None, serve_command="python main.py --port $PORT"
        )
        reason, message = self.failure(builder, builder.start_package(spec))
        assert reason == "ServeFileMissing"
        assert "main.py" in message

    def test_a_server_that_is_not_required_is_named(self, builder: Builder, snapshot: Tree) -> None:
        prepared = self.environment(builder, snapshot)
        spec = self.package_spec(snapshot, prepared, None, serve_command="uvicorn serve:app")
        reason, message = self.failure(builder, builder.start_package(spec))
        assert reason == "ServeProgramMissing"
        assert "uvicorn is not in requirements.txt" in message

    def test_a_model_step_without_outputs_is_named(self, builder: Builder, snapshot: Tree) -> None:
        prepared = self.environment(builder, snapshot)
        nothing = Tree(key=f"attempts/{uid()}/output", digest=snapshot.digest)
        spec = self.package_spec(snapshot, prepared, nothing)
        reason, message = self.failure(builder, builder.start_package(spec))
        assert reason == "ModelMissing"
        assert "HEKATON_OUTPUT_DIR" in message

    # Life --------------------------------------------------------------------------------

    def test_the_log_is_there_after_the_end(self, builder: Builder, snapshot: Tree) -> None:
        spec = self.prepare_spec(snapshot)
        wait_for_exit(builder, builder.start_prepare(spec))
        assert sum(found.size for found in storage().list(spec.log_key)) > 0

    def test_cancel_ends_a_build_and_proves_it(self, builder: Builder, tmp_path: Path) -> None:
        slow = store_snapshot({**SERVE, "requirements.txt": "scipy\nscikit-learn\n"}, tmp_path)
        handle = builder.start_prepare(self.prepare_spec(slow))
        builder.cancel(handle)
        builder.cancel(handle)
        seen = wait_for_exit(builder, handle)
        assert seen.gone
        assert seen.exit is not None
        assert seen.exit.reason == "Cancelled"

    def test_forgetting_can_be_repeated(self, builder: Builder, snapshot: Tree) -> None:
        handle = builder.start_prepare(self.prepare_spec(snapshot))
        wait_for_exit(builder, handle)
        builder.forget(handle)
        builder.forget(handle)

    def test_a_build_that_never_started_is_lost_and_gone(self, builder: Builder) -> None:
        seen = builder.observe(Handle(executor=builder.name, uid=uid()))
        assert seen.state == "lost"
        assert seen.gone
