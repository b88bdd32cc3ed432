"""What every serving backend must do: hold endpoints as described, and say what is so.

Vocabulary and semantics are Knative's: revisions are immutable, traffic is percents over
revisions with optional tags, readiness is observed. A backend knows neither models nor
services. `tests/conformance/backends.py` is the suite each implementation passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pipelines.executors.base import Capabilities, EnvironmentRef, Resources, Tree

RevisionState = Literal["unknown", "starting", "ready", "idle", "draining", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """An image by digest, with what a backend without an image store needs to lay it out."""

    digest: str
    reference: str
    environment: EnvironmentRef | None = None
    snapshot: Tree | None = None
    model: Tree | None = None


@dataclass(frozen=True, kw_only=True)
class ProbeSpec:
    path: str = "/"
    timeout_s: float = 2.0
    period_s: float = 5.0
    startup_s: float = 120.0


@dataclass(frozen=True, kw_only=True)
class ScaleSpec:
    min: int = 0
    max: int = 4
    metric: Literal["concurrency", "rps", "cpu", "memory"] = "concurrency"
    target: int = 16
    idle_s: float = 300.0


@dataclass(frozen=True, kw_only=True)
class RevisionSpec:
    uid: str
    name: str  # DNS label, ours
    image: ImageSpec
    command: str
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)  # name -> ciphertext
    resources: Resources = field(default_factory=Resources)
    probe: ProbeSpec = field(default_factory=ProbeSpec)
    scale: ScaleSpec = field(default_factory=ScaleSpec)
    timeout_s: float = 60.0
    keep_warm: int = 0
    log_key: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrafficSpec:
    revision_uid: str
    percent: int
    tag: str | None = None


@dataclass(frozen=True, kw_only=True)
class EndpointSpec:
    """What an endpoint should be, whole. `public_route` False: reachable only by
    `probe_address` (a verification). `generation` grows with every change of intent."""

    uid: str
    team: str
    project: str
    project_uid: str
    name: str
    generation: int
    revisions: tuple[RevisionSpec, ...]
    traffic: tuple[TrafficSpec, ...] = ()
    auth: Literal["key", "public"] = "key"
    live_key_ids: tuple[str, ...] = ()
    public_route: bool = True
    max_request_bytes: int = 32 * 1024**2


@dataclass(frozen=True, kw_only=True)
class Replica:
    uid: str
    state: str
    node_id: str = ""
    address: str = ""
    started_at: float | None = None
    ready_at: float | None = None
    restarts: int = 0
    rss_bytes: int = 0
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Why a revision has the replicas it has, as one sentence and its numbers."""

    at: float
    wanted: int
    observed: float
    target: int
    window: str
    bound: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Cumulative since `epoch` (changes when the counters start again)."""

    epoch: str = ""
    requests: int = 0
    errors: int = 0
    in_flight: int = 0
    latency_buckets: Mapping[str, int] = field(default_factory=dict)
    cold_starts: int = 0


@dataclass(frozen=True, kw_only=True)
class RevisionObservation:
    """`probe_address` is a base URL at which one ready replica answers without the gateway."""

    uid: str
    state: RevisionState
    reason: str = ""
    message: str = ""
    last_log: tuple[str, ...] = ()
    replicas: tuple[Replica, ...] = ()
    decision: Decision | None = None
    stats: Stats = field(default_factory=Stats)
    probe_address: str | None = None


@dataclass(frozen=True, kw_only=True)
class EndpointObservation:
    """`state` absent: the backend holds nothing by this uid; unknown: it cannot be asked."""

    uid: str
    state: Literal["present", "absent", "unknown"]
    generation: int = 0
    routed_generation: int = 0
    url: str | None = None
    revisions: tuple[RevisionObservation, ...] = ()
    message: str = ""


class Backend(Protocol):
    name: str

    def capabilities(self) -> Capabilities: ...

    def refuse(self, spec: EndpointSpec) -> list[str]:
        """Reasons, in words, why this backend cannot hold such an endpoint; empty if it can."""
        ...

    def url(self, spec: EndpointSpec) -> str | None:
        """The address clients will use; known before anything runs."""
        ...

    def apply(self, spec: EndpointSpec) -> None:
        """Make it so: create, update or repair. Idempotent; an older generation is refused."""
        ...

    def observe(self, uid: str) -> EndpointObservation: ...

    def delete(self, uid: str) -> None:
        """Remove everything of it. Idempotent; `observe` answers absent once it is proved gone."""
        ...

    def held(self) -> Iterator[str]:
        """Uids of every endpoint and verification that this backend holds, to find orphans."""
        ...
