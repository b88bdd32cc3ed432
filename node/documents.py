"""The documents that portal adapters send to a node, and what the node answers.

They are plain JSON over the node's Unix socket; these frozen dataclasses are their one
definition. A document states what is wanted, whole; sending the same one twice changes
nothing. Paths are absolute paths on the node's machine. Times are Unix seconds (float, UTC),
memory is bytes, CPU is millicores, durations are seconds.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

AttemptState = Literal["starting", "running", "cancelling", "exited", "lost"]
ReplicaState = Literal["starting", "ready", "draining", "exited", "backoff"]
RevisionState = Literal["starting", "ready", "idle", "draining", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A folder or file shown to a process.

    `target` is the path inside the sandbox; where no sandbox is available the process sees
    `source` itself, so the node puts the effective path into every environment variable that
    names a mount (see `env_path`).
    """

    source: str
    target: str
    writable: bool = False
    env_path: str | None = None  # name of the variable that is to hold the effective path


@dataclass(frozen=True, kw_only=True)
class Limits:
    cpu_m: int = 1000
    memory_bytes: int = 2 * 1024**3
    file_bytes: int = 10 * 1024**3
    processes: int = 512
    timeout_s: float | None = None  # wall clock; None for replicas
    grace_s: float = 10.0  # between SIGTERM and SIGKILL


@dataclass(frozen=True, kw_only=True)
class ProcessDocument:
    """What both attempts and replicas are: a command in a folder tree with limits.

    `command` is run by `/bin/sh -c` with `<environment>/bin` first on PATH and `cwd` as its
    working folder; both are paths inside the sandbox, as are paths in the values of `env`. `secrets` maps variable names to Fernet ciphertext; the node decrypts them
    in memory at each start and never writes them to disk.
    `sandbox`: `user` confines the process to its mounts; `builder` is for the platform's own
    build tools, which may use the network and write the listed mounts.
    """

    command: str
    cwd: str
    environment: str | None = None  # the virtual environment's path as the process sees it
    env: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    limits: Limits = field(default_factory=Limits)
    sandbox: Literal["user", "builder"] = "user"


@dataclass(frozen=True, kw_only=True)
class AttemptDocument:
    """One attempt to run a process once. The uid is the idempotency key.

    When the process exits 0 and `output_dir` is set, the shim hashes every file below it into
    `outputs` of the observation before it reports the exit.
    """

    uid: str
    process: ProcessDocument
    log_dir: str
    output_dir: str | None = None
    metrics_path: str | None = None
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class OutputFile:
    path: str  # relative, POSIX separators
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a process ended. Exactly one of `code` and `signal` is set."""

    code: int | None
    signal: int | None
    reason: Literal[
        "Completed",
        "Error",
        "Signalled",
        "TimedOut",
        "OutOfMemory",
        "CpuLimit",
        "FileTooLarge",
        "Cancelled",
        "Interrupted",
        "CannotStart",
    ]
    message: str  # a sentence for people


@dataclass(frozen=True, kw_only=True)
class Usage:
    cpu_s: float = 0.0
    max_rss_bytes: int = 0
    wall_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class AttemptObservation:
    """`gone` is true once every process of the attempt, descendants included, is proved ended."""

    uid: str
    node_id: str
    state: AttemptState
    message: str = ""
    pid: int | None = None
    started_at: float | None = None
    finished_at: float | None = None
    exit: Exit | None = None
    usage: Usage = field(default_factory=Usage)
    outputs: tuple[OutputFile, ...] = ()
    outputs_digest: str | None = None
    gone: bool = False


# Serving ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Probe:
    path: str = "/"
    timeout_s: float = 2.0
    period_s: float = 5.0
    startup_s: float = 120.0  # how long a replica may take to become healthy
    failures: int = 3


@dataclass(frozen=True, kw_only=True)
class Scale:
    min: int = 0
    max: int = 4
    concurrency: int = 16  # target requests in flight per replica
    idle_s: float = 300.0
    stable_window_s: float = 60.0
    panic_window_s: float = 6.0


@dataclass(frozen=True, kw_only=True)
class RevisionDocument:
    """One immutable revision. `keep_warm` is a floor of replicas while it has no traffic."""

    uid: str
    name: str
    digest: str
    process: ProcessDocument
    probe: Probe = field(default_factory=Probe)
    scale: Scale = field(default_factory=Scale)
    timeout_s: float = 60.0
    keep_warm: int = 0
    log_dir: str = ""


@dataclass(frozen=True, kw_only=True)
class TrafficDocument:
    revision_uid: str
    percent: int
    tag: str | None = None


@dataclass(frozen=True, kw_only=True)
class AuthDocument:
    """`key`: a signed endpoint key is needed whose id is in `live_key_ids`; `public`: none."""

    mode: Literal["key", "public"] = "key"
    audience: str = ""
    live_key_ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EndpointDocument:
    """What one endpoint should be. `route` is the public path prefix, e.g. `/e/acme/wine/live`,
    with no trailing slash; None means that it is reachable only by the replica's own address
    (a verification). Percents of `traffic` total 100 unless it is empty.
    """

    uid: str
    name: str
    generation: int
    route: str | None
    revisions: tuple[RevisionDocument, ...]
    traffic: tuple[TrafficDocument, ...] = ()
    auth: AuthDocument = field(default_factory=AuthDocument)
    max_request_bytes: int = 32 * 1024**2


@dataclass(frozen=True, kw_only=True)
class ReplicaObservation:
    uid: str
    state: ReplicaState
    address: str  # host:port
    pid: int | None = None
    started_at: float | None = None
    ready_at: float | None = None
    restarts: int = 0
    rss_bytes: int = 0
    exit: Exit | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class ScaleDecision:
    at: float
    wanted: int
    observed: float  # concurrency averaged over the window used
    target: int
    window: Literal["stable", "panic", "none"]
    bound: Literal["", "min", "max", "warm", "idle", "rate"]
    message: str


@dataclass(frozen=True, kw_only=True)
class TrafficStats:
    """Counters since `epoch`, which changes when they start again from zero (a restarted data
    plane); latencies in seconds.

    `latency_buckets` maps the upper bound ("0.1", "inf") to the cumulative count.
    """

    epoch: str = ""
    requests: int = 0
    errors: int = 0  # 5xx answers and resets
    in_flight: int = 0
    latency_buckets: dict[str, int] = field(default_factory=dict)
    cold_starts: int = 0


@dataclass(frozen=True, kw_only=True)
class RevisionObservation:
    """`idle` = ready once and scaled to zero; `failed` = its replicas cannot become healthy."""

    uid: str
    state: RevisionState
    reason: str = ""
    message: str = ""
    replicas: tuple[ReplicaObservation, ...] = ()
    decision: ScaleDecision | None = None
    stats: TrafficStats = field(default_factory=TrafficStats)
    log_dir: str = ""  # each replica's log is the folder of its uid below


@dataclass(frozen=True, kw_only=True)
class EndpointObservation:
    uid: str
    node_id: str
    generation: int  # of the document that the node holds
    routed_generation: int  # of the document whose traffic the data plane serves now
    route_url: str | None
    revisions: tuple[RevisionObservation, ...] = ()
    message: str = ""


# JSON ------------------------------------------------------------------------------------

T = TypeVar("T")


def to_json(document: Any) -> dict[str, Any]:
    """The JSON object of a document or observation."""
    return dataclasses.asdict(document)


def from_json(kind: type[T], data: dict[str, Any]) -> T:
    """Read a document back; unknown keys are ignored so that versions can differ.

    Raises:
        ValueError: a required key is missing or a value has the wrong shape.
    """
    return typing.cast(T, _read(kind, data, kind.__name__))


def _read(kind: Any, data: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if data is None:
            return None
        (inner,) = [a for a in typing.get_args(kind) if a is not type(None)]
        return _read(inner, data, where)
    if origin is tuple:
        inner = typing.get_args(kind)[0]
        if not isinstance(data, list | tuple):
            raise ValueError(f"{where}: expected a list")
        return tuple(_read(inner, item, f"{where}[{i}]") for i, item in enumerate(data))
    if origin is dict:
        if not isinstance(data, dict):
            raise ValueError(f"{where}: expected an object")
        inner = typing.get_args(kind)[1]
        return {str(k): _read(inner, v, f"{where}.{k}") for k, v in data.items()}
    if origin is Literal:
        if data not in typing.get_args(kind):
            raise ValueError(f"{where}: {data!r} is not one of {list(typing.get_args(kind))}")
        return data
    if dataclasses.is_dataclass(kind):
        if not isinstance(data, dict):
            raise ValueError(f"{where}: expected an object")
        hints = typing.get_type_hints(kind)
        values = {}
        for f in dataclasses.fields(kind):
            if f.name in data:
                values[f.name] = _read(hints[f.name], data[f.name], f"{where}.{f.name}")
            elif f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
                raise ValueError(f"{where}: {f.name} is missing")
        return kind(**values)  # type: ignore[operator]
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if kind in (str, int, float, bool) and (
        not isinstance(data, kind) or (kind is int and isinstance(data, bool))
    ):
        raise ValueError(f"{where}: expected {kind.__name__}")
    return data
