"""The Terraform files: formatted, parsed, and what must never be loosened. Not applied."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

hcl2 = pytest.importorskip("hcl2")
FOLDER = Path(__file__).resolve().parents[3] / "deploy/terraform"


def plain(value: Any) -> Any:
    """Without the quotes that the parser keeps around literals."""
    if isinstance(value, dict):
        return {plain(k): plain(v) for k, v in value.items() if k != "__is_block__"}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.strip('"') if isinstance(value, str) else value


def blocks(kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in sorted(FOLDER.glob("*.tf")):
        with path.open() as file:
            found += plain(hcl2.load(file)).get(kind, [])
    return found


def resources(kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: body for block in blocks("resource") for name, body in block.get(kind, {}).items()
    }


def test_files_are_formatted() -> None:
    if not shutil.which("terraform"):
        pytest.skip("needs terraform")
    found = subprocess.run(
        ["terraform", "fmt", "-check", "-recursive"],
        cwd=FOLDER, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (found.returncode, found.stdout) == (0, "")


def test_database_has_no_public_address_and_is_backed_up() -> None:
    (database,) = resources("google_sql_database_instance").values()
    (settings,) = database["settings"]
    assert database["deletion_protection"] is True
    assert settings["ip_configuration"][0]["ipv4_enabled"] is False
    assert settings["ip_configuration"][0]["ssl_mode"] == "ENCRYPTED_ONLY"
    assert settings["backup_configuration"][0]["enabled"] is True
    assert settings["backup_configuration"][0]["binary_log_enabled"] is True


def test_buckets_cannot_become_public() -> None:
    buckets = resources("google_storage_bucket")
    assert set(buckets) == {"objects", "builds"}
    for bucket in buckets.values():
        assert bucket["uniform_bucket_level_access"] is True
        assert bucket["public_access_prevention"] == "enforced"


def test_cluster_is_private_and_autoscales() -> None:
    (cluster,) = resources("google_container_cluster").values()
    assert cluster["private_cluster_config"][0]["enable_private_nodes"] is True
    assert cluster["cluster_autoscaling"][0]["enabled"] is True
    assert cluster["workload_identity_config"]
    assert cluster["master_authorized_networks_config"]
    (pool,) = resources("google_container_node_pool").values()
    assert pool["autoscaling"][0]["total_max_node_count"] > 2
    assert pool["node_config"][0]["workload_metadata_config"][0]["mode"] == "GKE_METADATA"


def test_nobody_has_a_basic_or_admin_role_and_no_keys_are_made() -> None:
    grants = {k: b for block in blocks("resource") for k, v in block.items() if "_iam_" in k
              for b in v.values()}  # fmt: skip
    assert grants
    text = "".join(path.read_text() for path in FOLDER.glob("*.tf"))
    for word in ("roles/owner", "roles/editor", "roles/viewer", "admin\"", "Admin\"", "allUsers",
                 "allAuthenticatedUsers", "google_service_account_key"):  # fmt: skip
        assert word not in text


def test_poison_messages_go_to_a_dead_letter_topic_that_is_read() -> None:
    subscriptions = resources("google_pubsub_subscription")
    assert subscriptions["portal"]["dead_letter_policy"][0]["max_delivery_attempts"] >= 5
    assert "dead_letter" in subscriptions
    assert "dead_letter" in resources("google_pubsub_topic_iam_member")


def test_clean_up_spares_kept_images_and_is_a_dry_run() -> None:
    (repository,) = resources("google_artifact_registry_repository").values()
    assert repository["cleanup_policy_dry_run"] is True
    assert {p["action"] for p in repository["cleanup_policies"]} == {"KEEP", "DELETE"}


def test_every_variable_is_described_and_used() -> None:
    text = "".join(path.read_text() for path in FOLDER.glob("*.tf"))
    for block in blocks("variable"):
        for name, body in block.items():
            assert body["description"]
            assert f"var.{name}" in text
