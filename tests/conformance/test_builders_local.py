"""The local builder, through a real node process, passes the builders' suite."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.client import NodeClient, NodeError
from node.config import runtime_folder
from pipelines.builders.base import Builder
from pipelines.builders.local.adapter import LocalBuilder
from portal.core import storage as storages
from tests.conformance.builders import BuilderSuite

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    with (home / "node.log").open("wb") as log:
        node = subprocess.Popen(
            [sys.executable, "-m", "node", "--home", str(home), "--no-serving"],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_it_answers(home, node)
        yield home
    finally:
        node.terminate()
        node.wait(20)


@pytest.fixture(autouse=True)
def object_store(home: Path, settings: Any) -> Iterator[None]:
    settings.OBJECT_STORAGE = {
        "class": "portal.core.storage.FolderStorage",
        "root": str(home / "objects"),
    }
    storages.storage.cache_clear()
    yield
    storages.storage.cache_clear()


class TestLocalBuilder(BuilderSuite):
    @pytest.fixture
    def builder(self, home: Path) -> Builder:
        return LocalBuilder(home=str(home), compile_bytecode=False)

    def test_it_lists_the_pythons_of_this_machine(self, builder: Builder) -> None:
        assert f"{sys.version_info[0]}.{sys.version_info[1]}" in builder.capabilities().pythons

    def test_without_a_node_it_says_so(self, tmp_path: Path) -> None:
        alone = LocalBuilder(home=str(tmp_path))
        assert "does not answer" in (alone.capabilities().unavailable or "")


def _wait_until_it_answers(home: Path, node: subprocess.Popen[bytes]) -> None:
    client = NodeClient(runtime_folder(home) / "node.sock")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and node.poll() is None:
        try:
            client.info()
            return
        except NodeError:
            time.sleep(0.05)
    raise AssertionError((home / "node.log").read_text())
