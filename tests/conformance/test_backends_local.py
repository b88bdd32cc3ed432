"""The local backend, through a real node and Envoy, passes the backends' suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portal.core import storage as storages
from serving.backends.base import Backend
from serving.backends.local import LocalBackend
from tests.conformance.backends import BackendSuite
from tests.fakes.local_node import LocalNode


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNode]:
    node = LocalNode(tmp_path_factory.mktemp("home"))
    node.start()
    yield node
    node.stop()


@pytest.fixture(autouse=True)
def object_store(node: LocalNode, settings: Any) -> Iterator[None]:
    settings.OBJECT_STORAGE = {
        "class": "portal.core.storage.FolderStorage",
        "root": str(node.home / "objects"),
    }
    storages.storage.cache_clear()
    yield
    storages.storage.cache_clear()


class TestLocalBackend(BackendSuite):
    @pytest.fixture
    def backend(self, node: LocalNode) -> Backend:
        return LocalBackend(home=str(node.home))

    @pytest.fixture
    def world(self, node: LocalNode) -> LocalNode:
        return node

    def test_without_a_node_it_says_so(self, tmp_path: Path) -> None:
        alone = LocalBackend(home=str(tmp_path))
        assert "does not answer" in (alone.capabilities().unavailable or "")
        assert alone.observe("01X").state == "unknown"
