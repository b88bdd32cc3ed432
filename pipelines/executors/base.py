"""What every executor must do: run one attempt of a step once, somewhere.

An executor knows neither models nor services. It takes and returns the frozen dataclasses
below, and raises `PermanentError` or `TransientError`. Every method is safe to repeat and
safe to call after a crash at any instant. `tests/integration/pipelines` drives the local one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

ObservedState = Literal["unknown", "starting", "running", "exited", "lost"]


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What an executor, builder or backend can do. A submission that needs more is refused.

    `limits` maps a resource ("cpu_m", "memory_bytes", "gpu") to the most one attempt may ask.
    """

    name: str
    granularity: Literal["attempt", "run"] = "attempt"
    pythons: tuple[str, ...] = ()  # "3.11", ...; empty: any
    secrets: bool = True
    isolation: str = ""  # a sentence for the docs and the status page
    limits: Mapping[str, int] = field(default_factory=dict)
    unavailable: str | None = None  # why it cannot be used now, naming what is missing


@dataclass(frozen=True, kw_only=True)
class Resources:
    cpu_m: int = 1000
    memory_bytes: int = 2 * 1024**3
    gpu: int = 0
    resource_class: str = ""


@dataclass(frozen=True, kw_only=True)
class EnvironmentRef:
    """A prepared environment. `key` names its content on every backend; `image` is the digest
    reference of the prepared image where the backend runs images (empty on the node)."""

    key: str
    python: str
    image: str = ""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A folder in the object store, by the key prefix it is stored under, and its digest.

    Snapshots are stored as one object `snapshots/<digest>.tar.gz`; dataset versions and
    outputs as one object a file below the prefix.
    """

    key: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class AttemptSpec:
    """One attempt, complete. `uid` is the idempotency key and names everything outside.

    `inputs` maps a step name to the outputs of the step it needs; `data` a slot to a dataset
    version. `secrets` maps variable names to ciphertext (`portal.core.crypto`); adapters
    decrypt as late as they can. `output_key` is where outputs belong in the object store,
    `log_key` where log chunks do.
    """

    uid: str
    run_uid: str
    project_uid: str
    team: str
    project: str
    run_number: int
    step: str
    attempt_number: int
    command: str
    environment: EnvironmentRef
    snapshot: Tree
    inputs: Mapping[str, Tree] = field(default_factory=dict)
    data: Mapping[str, Tree] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)
    timeout_s: float = 3600.0
    grace_s: float = 10.0
    output_key: str
    log_key: str
    lock: str | None = None  # the resolved lock, for executors that make the environment themselves


@dataclass(frozen=True, kw_only=True)
class Handle:
    """How to find an attempt again. Saved before launch; `external` holds ids that the other
    side chose, learned after launch."""

    executor: str
    uid: str
    node_id: str = ""
    external: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ExitInfo:
    """`reason` is one of node.documents.Exit's reasons or a backend's own CamelCase word.
    `platform` is true when the cause is ours (eviction, preemption, node loss), not the user's."""

    code: int | None
    reason: str
    message: str
    platform: bool = False


@dataclass(frozen=True, kw_only=True)
class ResourceUsage:
    cpu_s: float = 0.0
    max_rss_bytes: int = 0
    wall_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Observation:
    """`unknown`: cannot tell now (node unreachable); `lost`: proved gone without an exit.
    `gone`: every process or pod of the attempt is proved ended."""

    state: ObservedState
    reason: str = ""
    message: str = ""
    node_id: str = ""
    started_at: float | None = None
    finished_at: float | None = None
    exit: ExitInfo | None = None
    usage: ResourceUsage = field(default_factory=ResourceUsage)
    gone: bool = False
    external: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class OutputFile:
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a finished attempt left: files below `output_key` and the metric lines it wrote."""

    digest: str
    files: tuple[OutputFile, ...] = ()
    metrics: tuple[Mapping[str, Any], ...] = ()  # {"name", "value", "step", "at"}
    rejected_metrics: tuple[str, ...] = ()  # lines that are not a metric, with the reason


class Executor(Protocol):
    """Runs attempts. One instance a process; methods are thread-safe and short (seconds)."""

    name: str

    def capabilities(self) -> Capabilities: ...

    def start(self, spec: AttemptSpec) -> Handle:
        """Create the attempt outside, or adopt the one that is already there under its uid."""
        ...

    def observe(self, handle: Handle) -> Observation:
        """Look, without side effects."""
        ...

    def cancel(self, handle: Handle) -> None:
        """Ask for the end: SIGTERM, then SIGKILL after the grace. `observe(...).gone` proves it."""
        ...

    def metrics(self, handle: Handle, after_line: int) -> tuple[Mapping[str, Any], ...]:
        """Metric lines written so far beyond `after_line`, for live curves."""
        ...

    def collect(self, handle: Handle) -> Outputs:
        """The outputs of an attempt that exited with 0; they are in the object store afterwards."""
        ...

    def forget(self, handle: Handle) -> None:
        """Free what the executor keeps for an attempt that is gone. Outputs and logs stay."""
        ...
