from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from node.envoy import resources
from node.envoy.files import put, rotate
from node.envoy.resources import Route, Share

ROUTE = Route(
    prefix="/e/acme/wine/live",
    endpoint_uid="E1",
    shares=(Share(revision_uid="A", weight=90), Share(revision_uid="B", weight=10)),
    key_ids=("k1",),
    timeout_s=5.0,
    max_request_bytes=100,
)


def test_a_private_route_without_keys_lets_nobody_in() -> None:
    access = resources.route_list(replace(ROUTE, key_ids=()))["routes"][2][
        "typed_per_filter_config"
    ]
    assert access["rbac"]["rbac"]["rules"] == {"action": "ALLOW", "policies": {}}


def test_every_way_into_a_private_endpoint_asks_for_its_key() -> None:
    ways = resources.route_list(ROUTE)["routes"]
    guarded = [w for w in ways if "path_separated_prefix" in w["match"]]
    assert len(guarded) == 3
    for way in guarded:
        text = json.dumps(way["typed_per_filter_config"]["rbac"])
        assert '"E1"' in text
        assert '"k1"' in text
        assert way["typed_per_filter_config"]["keys"]["requirement_name"] == "key"


def test_a_version_changes_with_what_is_routed() -> None:
    same, other = resources.routes([ROUTE]), resources.routes([replace(ROUTE, key_ids=("k2",))])
    assert resources.routes([ROUTE])["version_info"] == same["version_info"]
    assert other["version_info"] != same["version_info"]


def test_members_are_ports_or_sockets() -> None:
    (cluster,) = resources.clusters({"A": ("127.0.0.1:5", "/run/a.sock")})["resources"]
    one, two = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert one["endpoint"]["address"]["socket_address"]["port_value"] == 5
    assert two["endpoint"]["address"] == {"pipe": {"path": "/run/a.sock"}}


def test_a_file_is_written_once_for_the_same_content(tmp_path: Path) -> None:
    path = tmp_path / "a" / "x.json"
    assert [put(path, {"a": 1}), put(path, {"a": 1}), put(path, {"a": 2})] == [True, False, True]
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]


def test_logs_rotate_and_keep_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    for text in ("one", "two", "three", "four"):
        path.write_text(text)
        assert rotate(path, limit_bytes=1, keep=2)
    assert (tmp_path / "access.log.1").read_text() == "four"
    assert (tmp_path / "access.log.2").read_text() == "three"
    assert len(list(tmp_path.iterdir())) == 2
