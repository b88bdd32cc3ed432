"""kill -9 of every part under load: what goes on answering, and what comes back by itself."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import psutil

from serving.backends.base import ScaleSpec
from tests.conformance.backends import Load, revision
from tests.fakes.local_node import LocalNode, kill, wait_for
from tests.integration.dataplane.conftest import Make


def for_a_while(load: Load, requests: int) -> None:
    seen = sum(load.answers.values())
    wait_for(lambda: sum(load.answers.values()) >= seen + requests or load.bad, "load goes on")


def test_a_dead_node_is_not_noticed_by_requests(node: LocalNode, make: Make) -> None:
    first = revision(node, scale=ScaleSpec(min=2, max=2))
    made = make(first)
    wait_for(lambda: len(made.revision(first.uid).replicas) == 2, "two replicas")
    before = {r.uid for r in made.revision(first.uid).replicas}
    envoy = node.envoy_pid()
    with Load(made, "/version") as load, Load(made, "/stream?n=20&pause=0.1", 1) as streams:
        for_a_while(load, 50)
        node.kill()
        for_a_while(load, 300)
        node.start()
        for_a_while(load, 300)
        assert {r.uid for r in made.revision(first.uid).replicas} == before
        assert node.envoy_pid() == envoy
        made.apply(live_key_ids=("key1", "key2"))
        made.routed()
        for_a_while(load, 50)
    assert load.bad == []
    assert streams.bad == []


def test_a_dead_envoy_is_started_again(node: LocalNode, make: Make) -> None:
    made = make(revision(node))
    before = node.envoy_pid()
    kill(before)
    began = time.monotonic()

    def back() -> bool:
        try:
            return made.get("/version").status_code == 200
        except httpx.TransportError:  # refused until it listens again
            return False

    wait_for(back, "Envoy serves again", 10)
    assert time.monotonic() - began < 5
    wait_for(lambda: node.envoy_pid() != before, "the node knows it", 5)


def test_both_dead_come_back_with_everything(node: LocalNode, make: Make) -> None:
    made = make(revision(node))
    instance = made.get("/version").json()["instance"]
    envoy = node.envoy_pid()
    node.kill()
    kill(envoy)
    node.start()
    wait_for(lambda: made.get("/version").status_code == 200, "it serves again", 10)
    assert made.get("/version").json()["instance"] == instance


def test_a_dead_replica_costs_at_most_what_was_in_flight(
    node: LocalNode, make: Make, folder: Path
) -> None:
    first = revision(node, scale=ScaleSpec(min=2, max=2))
    made = make(first)

    def two_ready() -> bool:
        return sum(r.state == "ready" for r in made.revision(first.uid).replicas) == 2

    wait_for(two_ready, "two replicas")
    victim = made.revision(first.uid).replicas[0].uid
    pid = json.loads((folder / "replicas" / victim / "running.json").read_text())["pid"]
    with Load(made, "/version", connections=4) as load:
        for_a_while(load, 50)
        kill(pid)
        wait_for(
            lambda: victim not in {r.uid for r in made.revision(first.uid).replicas},
            "the node knows it",
        )
        wait_for(two_ready, "two replicas again")
    assert len(load.bad) <= 4


def test_what_died_with_the_node_is_replaced(node: LocalNode, make: Make, folder: Path) -> None:
    first = revision(node)
    made = make(first)
    replica = made.revision(first.uid).replicas[0].uid
    shim = json.loads((folder / "replicas" / replica / "started.json").read_text())["pid"]
    node.kill()
    kill(shim)  # the processes below it end with it
    node.start()
    wait_for(lambda: made.get("/version").status_code == 200, "it serves again", 15)
    assert made.revision(first.uid).replicas[0].uid != replica


def test_a_planned_stop_leaves_nothing_and_a_start_resumes(
    node: LocalNode, make: Make, folder: Path
) -> None:
    made = make(revision(node))
    pids = [node.envoy_pid()]
    pids += [
        json.loads(path.read_text())["pid"] for path in (folder / "replicas").glob("*/running.json")
    ]
    node.stop()
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids), "all are gone", 10)
    node.start()
    wait_for(lambda: made.get("/version").status_code == 200, "it serves again", 15)
