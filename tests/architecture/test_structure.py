"""The structure as tests: imports, migrations, schema, light start, and every route by role."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import get_resolver

from tests.architecture import schema_drift

ROOT = Path(settings.BASE_DIR)


def test_imports_go_one_way() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.django_db
def test_migrations_are_complete() -> None:
    from django.core.management import call_command

    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_migrations_are_named_and_linear() -> None:
    for app in ("portal/core", "portal/accounts", "portal/projects", "pipelines", "serving"):
        names = sorted(p.stem for p in (ROOT / app / "migrations").glob("0*.py"))
        numbers = [name[:4] for name in names]
        assert numbers == [f"{i:04d}" for i in range(1, len(names) + 1)], names
        assert not any("_auto_" in name for name in names)


def test_the_committed_schema_is_the_code() -> None:
    assert schema_drift.drift() == ""


def test_what_may_be_left_out_may_be_empty() -> None:
    """A form sends "" for what was left out, and the schema names "" as the default."""
    from rest_framework import serializers

    get_resolver().url_patterns  # noqa: B018 - imports every API module
    refusing = [
        f"{kind.__module__}.{kind.__qualname__}.{name}"
        for kind in serializers.Serializer.__subclasses__()
        for name, field in getattr(kind, "_declared_fields", {}).items()
        if getattr(field, "default", None) == "" and not getattr(field, "allow_blank", True)
    ]
    assert not refusing


def test_nothing_heavy_is_imported_at_start() -> None:
    code = (
        "import django, sys; django.setup(); import portal.urls; "
        "print([m for m in ('google.api_core', 'grpc', 'kubernetes', 'boto3') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_contract_and_the_node_know_no_django() -> None:
    code = "import sys; import contract.manifest, contract.logs, node.app; print('django' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def routes() -> list[str]:
    found = []

    def walk(patterns: object, prefix: str) -> None:
        for pattern in patterns:  # type: ignore[attr-defined]
            path = prefix + str(pattern.pattern)
            if hasattr(pattern, "url_patterns"):
                walk(pattern.url_patterns, path)
            else:
                found.append(path)

    walk(get_resolver().url_patterns, "")
    return [p for p in found if p.startswith("api/v1/")]


def test_there_are_routes_for_every_noun() -> None:
    text = " ".join(routes())
    for noun in ("teams", "projects", "datasets", "submissions", "runs", "attempts", "artifacts",
                 "model-versions", "verifications", "endpoints", "revisions", "rollouts", "keys",
                 "tokens", "audit", "events", "system", "triggers", "leaderboard", "champion"):  # fmt: skip
        assert noun in text
