"""A real node with Envoy for each module, and endpoints made straight through the local backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from portal.core import storage as storages
from serving.backends.base import EndpointSpec, RevisionSpec
from serving.backends.local import LocalBackend
from tests.conformance.backends import KEY, Made, traffic
from tests.fakes.local_node import LocalNode

Make = Callable[..., Made]


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


@pytest.fixture
def make(node: LocalNode) -> Iterator[Make]:
    backend = LocalBackend(home=str(node.home))
    mades: list[Made] = []

    def make(first: RevisionSpec, **changes: Any) -> Made:
        uid = str(ULID())
        values: dict[str, Any] = {
            "uid": uid,
            "team": "acme",
            "project": "wine",
            "project_uid": "P1",
            "name": f"e{uid[-12:].lower()}",
            "generation": 1,
            "revisions": (first,),
            "traffic": traffic((first, 100)),
            "live_key_ids": (KEY,),
        }
        made = Made(backend, node, EndpointSpec(**(values | changes)))
        mades.append(made)
        backend.apply(made.spec)
        made.routed()
        return made

    yield make
    for made in mades:
        backend.delete(made.spec.uid)


@pytest.fixture
def folder(node: LocalNode) -> Path:
    return node.home / "node"
