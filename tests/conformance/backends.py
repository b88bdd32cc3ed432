"""What every serving backend must do (`serving.backends.base.Backend`).

A test class inherits `BackendSuite` and gives two fixtures: `backend`, and `world`, which makes
images of tests/fakes/model_server.py and signs endpoint keys. Endpoints are made through `make`,
which takes them away again.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import httpx
import pytest
from ulid import ULID

from pipelines.executors.base import Resources
from portal.core.errors import Conflict
from serving.backends.base import (
    Backend,
    EndpointObservation,
    EndpointSpec,
    ImageSpec,
    ProbeSpec,
    RevisionObservation,
    RevisionSpec,
    ScaleSpec,
    TrafficSpec,
)
from tests.fakes.local_node import wait_for

KEY = "key1"


class World(Protocol):
    def image(self) -> ImageSpec: ...

    def token(self, endpoint_uid: str, key_id: str) -> str: ...


@dataclasses.dataclass
class Made:
    """An endpoint under test, with the spec it was last given."""

    backend: Backend
    world: World
    spec: EndpointSpec

    def apply(self, **changes: Any) -> None:
        self.spec = dataclasses.replace(self.spec, generation=self.spec.generation + 1, **changes)
        self.backend.apply(self.spec)

    def observe(self) -> EndpointObservation:
        return self.backend.observe(self.spec.uid)

    def revision(self, uid: str) -> RevisionObservation:
        found = {r.uid: r for r in self.observe().revisions}
        return found.get(uid) or RevisionObservation(uid=uid, state="unknown")

    def routed(self) -> None:
        wait_for(
            lambda: self.observe().routed_generation == self.spec.generation,
            "traffic is where it was asked to be",
        )

    def state(self, uid: str, *states: str) -> RevisionObservation:
        found: list[RevisionObservation] = []

        def look() -> bool:
            found[:] = [self.revision(uid)]
            return found[0].state in states

        wait_for(look, f"revision {uid} is {states}", 30)
        return found[0]

    @property
    def url(self) -> str:
        url = self.backend.url(self.spec)
        assert url is not None
        return url

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.world.token(self.spec.uid, KEY)}"}

    def get(self, path: str, **options: Any) -> httpx.Response:
        options.setdefault("headers", self.headers)
        options.setdefault("timeout", 30)
        return httpx.get(self.url + path, **options)


Make = Callable[..., Made]


def revision(world: World, version: str = "1", **changes: Any) -> RevisionSpec:
    env = {"VERSION": version, **changes.pop("env", {})}
    uid = str(ULID())
    values: dict[str, Any] = {
        "uid": uid,
        "name": f"model-{version}",
        "image": world.image(),
        "command": "python serve.py",
        "env": env,
        "resources": Resources(memory_bytes=400 << 20),
        "probe": ProbeSpec(path="/healthz", period_s=0.5, timeout_s=1.0, startup_s=15.0),
        "scale": ScaleSpec(min=1, max=3, target=4),
        "timeout_s": 20.0,
        "log_key": f"logs/{uid}",
    }
    return RevisionSpec(**(values | changes))


def traffic(*shares: tuple[RevisionSpec, int]) -> tuple[TrafficSpec, ...]:
    return tuple(TrafficSpec(revision_uid=r.uid, percent=p) for r, p in shares)


class Load:
    """Constant requests over kept-alive connections, with what came of them."""

    def __init__(self, made: Made, path: str, connections: int = 4) -> None:
        self.made, self.path = made, path
        self.answers: Counter[Any] = Counter()
        self.bad: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(connections)]

    def _run(self) -> None:
        with httpx.Client(headers=self.made.headers, timeout=30) as client:
            while not self._stop.is_set():
                try:
                    answer = client.get(self.made.url + self.path)
                    if answer.status_code != 200:
                        self.bad.append(f"{answer.status_code} {answer.text[:200]}")
                    elif answer.headers["content-type"] == "application/json":
                        self.answers[answer.json().get("version")] += 1
                    else:
                        self.answers[answer.text.count("data:")] += 1
                except httpx.HTTPError as error:
                    self.bad.append(repr(error))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


class BackendSuite:
    @pytest.fixture
    def make(self, backend: Backend, world: World) -> Iterator[Make]:
        mades: list[Made] = []

        def make(*revisions: RevisionSpec, **changes: Any) -> Made:
            uid = str(ULID())
            values: dict[str, Any] = {
                "uid": uid,
                "team": "acme",
                "project": "wine",
                "project_uid": "P1",
                "name": f"e{uid[-12:].lower()}",
                "generation": 1,
                "revisions": revisions,
                "traffic": traffic((revisions[0], 100)) if revisions else (),
                "live_key_ids": (KEY,),
            }
            made = Made(backend, world, EndpointSpec(**(values | changes)))
            mades.append(made)
            backend.apply(made.spec)
            return made

        yield make
        for made in mades:
            backend.delete(made.spec.uid)
        for made in mades:
            wait_for(lambda m=made: m.observe().state == "absent", "it is gone", 40)  # type: ignore[misc]

    # Being there -------------------------------------------------------------------------

    def test_an_endpoint_becomes_ready_and_answers(self, make: Make, world: World) -> None:
        first = revision(world)
        made = make(first)
        made.routed()
        answer = made.get("/version")
        assert answer.json()["version"] == "1"
        assert answer.headers["x-hekaton-endpoint"] == made.spec.uid
        assert answer.headers["x-hekaton-revision"] == first.uid
        assert answer.headers["x-request-id"]
        assert made.observe().url == made.url

    def test_the_prefix_is_taken_off_and_told(self, make: Make, world: World) -> None:
        made = make(revision(world))
        made.routed()
        seen = made.get("/a/b?q=1").json()
        assert seen["path"] == "/a/b?q=1"
        prefix = {k.lower(): v for k, v in seen["headers"].items()}["x-forwarded-prefix"]
        assert made.url.endswith(prefix)

    def test_applying_the_same_again_changes_nothing(
        self, backend: Backend, make: Make, world: World
    ) -> None:
        first = revision(world)
        made = make(first)
        made.routed()
        before = [r.uid for r in made.revision(first.uid).replicas]
        backend.apply(made.spec)
        assert [r.uid for r in made.revision(first.uid).replicas] == before

    def test_an_older_generation_is_refused(
        self, backend: Backend, make: Make, world: World
    ) -> None:
        made = make(revision(world))
        old = made.spec
        made.apply(live_key_ids=("other",))
        with pytest.raises(Conflict):
            backend.apply(old)

    def test_what_is_held_can_be_listed_until_it_is_deleted(
        self, backend: Backend, make: Make, world: World
    ) -> None:
        made = make(revision(world))
        assert made.spec.uid in set(backend.held())
        backend.delete(made.spec.uid)
        wait_for(lambda: made.observe().state == "absent", "it is gone", 30)
        assert made.spec.uid not in set(backend.held())
        backend.delete(made.spec.uid)
        assert made.get("/version").status_code == 404

    def test_without_a_public_route_only_the_probe_address_answers(
        self, backend: Backend, make: Make, world: World
    ) -> None:
        first = revision(world, scale=ScaleSpec(min=0, max=1), keep_warm=1)
        made = make(first, traffic=(), public_route=False)
        found = made.state(first.uid, "ready")
        assert backend.url(made.spec) is None
        assert found.probe_address is not None
        assert httpx.get(found.probe_address + "/version").json()["version"] == "1"

    # Keys --------------------------------------------------------------------------------

    def test_only_a_live_key_of_this_endpoint_opens_it(self, make: Make, world: World) -> None:
        made = make(revision(world))
        made.routed()
        none = made.get("/version", headers={})
        assert none.status_code == 401
        assert none.headers["content-type"] == "application/problem+json"
        assert none.json()["code"] == "unauthorized"
        for uid, key in ((made.spec.uid, "unknown"), (str(ULID()), KEY)):
            token = world.token(uid, key)
            answer = made.get("/version", headers={"Authorization": f"Bearer {token}"})
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert made.get("/version").status_code == 200

    def test_a_revoked_key_is_refused_within_seconds(self, make: Make, world: World) -> None:
        made = make(revision(world))
        made.routed()
        assert made.get("/version").status_code == 200
        made.apply(live_key_ids=())
        wait_for(lambda: made.get("/version").status_code == 403, "the key is refused", 3)

    def test_a_public_endpoint_needs_no_key(self, make: Make, world: World) -> None:
        made = make(revision(world), auth="public")
        made.routed()
        assert made.get("/version", headers={}).status_code == 200

    def test_the_key_does_not_reach_user_code(self, make: Make, world: World) -> None:
        made = make(revision(world))
        made.routed()
        seen = {k.lower() for k in made.get("/echo").json()["headers"]}
        assert "authorization" not in seen

    def test_a_request_that_is_too_large_is_refused(self, make: Make, world: World) -> None:
        made = make(revision(world), max_request_bytes=1000)
        made.routed()

        def post(size: int, chunked: bool) -> int:
            body: Any = iter([b"x" * size]) if chunked else b"x" * size
            return httpx.post(made.url + "/echo", headers=made.headers, content=body).status_code

        assert [post(1000, False), post(1001, False)] == [200, 413]
        assert post(1001, True) == 413

    # Traffic -----------------------------------------------------------------------------

    def test_traffic_is_split_by_percent(self, make: Make, world: World) -> None:
        one, two = revision(world, "1"), revision(world, "2")
        made = make(one, two, traffic=traffic((one, 80), (two, 20)))
        made.routed()
        seen: Counter[str] = Counter()
        with httpx.Client(headers=made.headers) as client:
            for _ in range(400):
                seen[client.get(made.url + "/version").json()["version"]] += 1
        assert 280 <= seen["1"] <= 360

    def test_a_tag_is_an_address_of_its_own(self, make: Make, world: World) -> None:
        one, two = revision(world, "1"), revision(world, "2")
        made = make(
            one,
            two,
            traffic=(
                TrafficSpec(revision_uid=one.uid, percent=100),
                TrafficSpec(revision_uid=two.uid, percent=0, tag="next"),
            ),
        )
        made.routed()
        tagged = httpx.get(made.url + "~next/version", headers=made.headers)
        assert tagged.json()["version"] == "2"
        assert {made.get("/version").json()["version"] for _ in range(10)} == {"1"}

    def test_a_revision_that_is_not_ready_gets_no_traffic(self, make: Make, world: World) -> None:
        one = revision(world, "1")
        made = make(one)
        made.routed()
        broken = revision(world, "2", env={"MODE": "crash"})
        made.apply(revisions=(one, broken), traffic=traffic((broken, 100)))
        made.state(broken.uid, "failed")
        assert made.observe().routed_generation == 1
        assert made.get("/version").json()["version"] == "1"

    def test_a_switch_loses_no_request(self, make: Make, world: World) -> None:
        one = revision(world, "1")
        made = make(one)
        made.routed()
        with Load(made, "/version") as load, Load(made, "/stream?n=20&pause=0.1", 2) as streams:
            wait_for(lambda: load.answers["1"] > 20, "load")
            two = revision(world, "2")
            made.apply(revisions=(two,), traffic=traffic((two, 100)))
            made.routed()
            seen = load.answers["2"]
            wait_for(lambda: load.answers["2"] > seen + 20, "the new revision answers")
            wait_for(
                lambda: one.uid not in {r.uid for r in made.observe().revisions},
                "the old revision is drained and gone",
            )
        assert load.bad == []
        assert streams.bad == []
        assert set(streams.answers) == {20}

    def test_a_rollback_to_a_warm_revision_is_quick(self, make: Make, world: World) -> None:
        one = revision(world, "1")
        made = make(one)
        made.routed()
        two = revision(world, "2")
        warm = dataclasses.replace(one, keep_warm=1)
        made.apply(revisions=(warm, two), traffic=traffic((two, 100)))
        made.routed()
        began = time.monotonic()
        made.apply(traffic=traffic((warm, 100)))
        wait_for(lambda: made.get("/version").json()["version"] == "1", "rolled back", 5)
        assert time.monotonic() - began < 2.0

    # Scale -------------------------------------------------------------------------------

    def test_it_scales_up_with_concurrency_and_says_why(self, make: Make, world: World) -> None:
        first = revision(world, scale=ScaleSpec(min=1, max=3, target=2))
        made = make(first)
        made.routed()
        with Load(made, "/sleep?s=0.3", connections=8) as load:
            wait_for(
                lambda: sum(r.state == "ready" for r in made.revision(first.uid).replicas) == 3,
                "three replicas",
            )
        decision = made.revision(first.uid).decision
        assert load.bad == []
        assert decision is not None
        assert decision.wanted == 3
        assert decision.message

    @pytest.mark.slow
    def test_it_scales_down_again_when_the_load_is_gone(self, make: Make, world: World) -> None:
        first = revision(world, scale=ScaleSpec(min=1, max=3, target=2))
        made = make(first)
        made.routed()

        def ready() -> int:
            return sum(r.state == "ready" for r in made.revision(first.uid).replicas)

        with Load(made, "/sleep?s=0.3", connections=8):
            wait_for(lambda: ready() == 3, "three replicas")
        with Load(made, "/version", connections=1) as load:
            wait_for(lambda: ready() == 1, "one replica again", 150, 0.5)
        assert load.bad == []

    def test_to_zero_and_back_holds_requests(self, make: Make, world: World) -> None:
        first = revision(world, scale=ScaleSpec(min=0, max=1, idle_s=0.5, target=50))
        made = make(first)
        made.routed()
        assert made.state(first.uid, "idle").replicas == ()
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: made.get("/version"), range(20)))
        assert [a.status_code for a in answers] == [200] * 20
        assert len({a.json()["instance"] for a in answers}) == 1
        assert made.revision(first.uid).stats.cold_starts == 1

    def test_no_request_is_lost_on_the_way_to_zero(self, make: Make, world: World) -> None:
        first = revision(world, scale=ScaleSpec(min=0, max=1, idle_s=0.05, target=50))
        made = make(first)
        made.routed()
        failed = []
        for pause in [n * 0.1 for n in range(16)]:
            time.sleep(pause / 2)
            answer = made.get("/version")
            if answer.status_code != 200:
                failed.append((pause, answer.text))
        assert failed == []

    def test_stats_count_requests_and_errors(self, make: Make, world: World) -> None:
        first = revision(world)
        made = make(first)
        made.routed()
        for _ in range(5):
            made.get("/version")

        def counted() -> bool:
            stats = made.revision(first.uid).stats
            return stats.requests == 5 and stats.latency_buckets.get("inf") == 5

        wait_for(counted, "five requests are counted")

    # Why not -----------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("changes", "reason", "words"),
        [
            ({"env": {"MODE": "missing-module"}}, "MissingModule", "a_module_that_is_not_there"),
            ({"env": {"MODE": "crash"}}, "AppCrashed", "the model file is damaged"),
            ({"env": {"MODE": "exit-zero"}}, "AppCrashed", "exit code 0"),
            ({"env": {"MODE": "wrong-port"}}, "WrongPort", "$PORT"),
            ({"env": {"MODE": "hog"}}, "OutOfMemory", "400 MiB"),
            ({"command": "uvicornn serve:app"}, "CommandNotFound", "uvicornn"),
            (
                {"env": {"MODE": "unhealthy"}, "probe": ProbeSpec(path="/healthz", startup_s=1.5)},
                "Unhealthy",
                "500",
            ),
            (
                {"env": {"START_S": "30"}, "probe": ProbeSpec(path="/healthz", startup_s=1.5)},
                "SlowStart",
                "1.5 s",
            ),
        ],
        ids=lambda value: value if isinstance(value, str) and value.isalpha() else "",
    )
    def test_a_failure_names_its_cause(
        self, make: Make, world: World, changes: dict[str, Any], reason: str, words: str
    ) -> None:
        broken = revision(world, **changes)
        made = make(broken)
        found = made.state(broken.uid, "failed")
        assert found.reason == reason
        assert words in found.message
        assert found.last_log or reason in ("CommandNotFound", "SlowStart")
        answer = made.get("/version")
        assert answer.status_code == 503
        assert answer.headers["retry-after"]

    def test_a_replica_that_dies_is_replaced(self, make: Make, world: World) -> None:
        first = revision(world)
        made = make(first)
        made.routed()
        before = made.get("/version").json()["instance"]
        made.get("/exit")

        def replaced() -> bool:
            answer = made.get("/version")
            return answer.status_code == 200 and answer.json()["instance"] != before

        wait_for(replaced, "another replica answers")
        assert max(r.restarts for r in made.revision(first.uid).replicas) >= 1

    def test_a_replica_that_becomes_unhealthy_is_replaced(self, make: Make, world: World) -> None:
        first = revision(world)
        made = make(first)
        made.routed()
        before = made.get("/version").json()["instance"]
        made.get("/break")

        def replaced() -> bool:
            answer = made.get("/version")
            return answer.status_code == 200 and answer.json()["instance"] != before

        wait_for(replaced, "another replica answers")
