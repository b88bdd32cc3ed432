"""A real node for runs, and a way to drive them."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings

from contract import snapshot
from node.client import NodeClient, NodeError
from pipelines import facade
from pipelines.models import Run
from pipelines.reconcilers.run import reconcile_run
from portal.accounts.principals import Principal
from tests.factories.accounts import make_member, make_team


@pytest.fixture(scope="session")
def node() -> Iterator[NodeClient]:
    """`python -m node` on the tests' home, without the data plane."""
    process = subprocess.Popen(
        [sys.executable, "-m", "node", "--home", str(settings.HOME), "--no-serving"],
        cwd=settings.BASE_DIR,
    )
    client = NodeClient(settings.RUNTIME / "node.sock")
    deadline = time.monotonic() + 30
    while True:
        try:
            client.info()
            break
        except NodeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    yield client
    process.terminate()
    process.wait(timeout=30)


@pytest.fixture
def member(db: None) -> Principal:
    """A maintainer of a team of their own."""
    return make_member(make_team(), "maintainer")


@pytest.fixture
def team(member: Principal) -> str:
    assert member.user is not None
    return member.user.memberships.get().team.slug


def packed(folder: Path) -> io.BytesIO:
    archive = io.BytesIO()
    snapshot.write_archive(folder, snapshot.scan(folder), archive)
    archive.seek(0)
    return archive


@pytest.fixture
def submit(tmp_path: Path, member: Principal, team: str, node: NodeClient) -> Callable[..., Run]:
    """submit({"hekaton.yaml": ..., "train.py": ...}) -> the pending run."""

    def act(files: dict[str, str], **options: object) -> Run:
        folder = tmp_path / f"sub{len(list(tmp_path.iterdir()))}"
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return facade.submit(principal=member, archive=packed(folder), team=team, **options)  # type: ignore[arg-type]

    return act


def drive(run: Run, until: Callable[[Run], bool] | None = None, seconds: float = 60) -> Run:
    """Reconcile until the run has ended, or `until` holds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        reconcile_run(run.pk)
        run.refresh_from_db()
        if (until or (lambda r: r.is_terminal))(run):
            return run
        time.sleep(0.02)
    steps = [(s.name, s.status, s.status_message) for s in run.steps.all()]
    raise AssertionError(f"{run.status}: {run.status_message}; {steps}")
