"""One running portal for all end-to-end tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running import Portal, start_portal, stop_portal


@pytest.fixture(scope="session")
def portal() -> Iterator[Portal]:
    home = Path(tempfile.mkdtemp(prefix="hk-e2e-"))
    running = start_portal(home)
    yield running
    stop_portal(running)
