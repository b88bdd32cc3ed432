"""What must stay light: the build tool, and adapters of clouds that are not used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def loaded_by(code: str) -> set[str]:
    """Top-level packages (and google's second level) that a fresh interpreter loads."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('\\n'.join(sys.modules))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = done.stdout.split()
    return {name.split(".")[0] for name in names} | {n for n in names if n.startswith("google.")}


@pytest.mark.parametrize("module", ["prepare", "package", "rootfs", "__main__"])
def test_the_build_tool_knows_no_django(module: str) -> None:
    found = loaded_by(f"import pipelines.builders.local.{module}")
    assert not found & {"django", "portal", "celery", "rest_framework"}


@pytest.mark.parametrize(
    "module",
    ["pipelines.builders.cloud_build.adapter", "portal.cloud.clients", "portal.cloud.storage_gcs",
     "portal.cloud.storage_s3"],
)  # fmt: skip
def test_cloud_packages_are_loaded_only_when_used(module: str) -> None:
    found = loaded_by(f"import {module}")
    assert not found & {"grpc", "boto3", "botocore", "google.cloud.storage", "google.auth"}
