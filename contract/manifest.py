"""`hekaton.yaml` as typed values.

`parse` reports every problem at once, with line numbers and the nearest valid key. The JSON
Schema in schema.json is the one source of the format; what a schema cannot say (units, cycles,
references between parts) is checked in `rules.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from contract import units
from contract.params import Scalar
from contract.problems import ManifestError, Problem
from contract.rules import check_rules
from contract.validation import check_schema
from contract.yaml_lines import load

MIN_RESOURCES = {"cpu": 1, "memory": "2Gi", "gpu": 0}
Strategy = Literal["instant", "rolling", "canary", "blue-green"]


@dataclass(frozen=True, kw_only=True)
class Resources:
    cpu_m: int = 1000
    memory_bytes: int = 2 * 1024**3
    gpu: int = 0
    resource_class: str = ""


@dataclass(frozen=True, kw_only=True)
class Step:
    name: str
    run: str
    needs: tuple[str, ...] = ()
    resources: Resources = field(default_factory=Resources)
    timeout_s: float = 3600.0
    retries: int = 0
    env: Mapping[str, str] = field(default_factory=dict)
    cache: bool = True


@dataclass(frozen=True, kw_only=True)
class Gate:
    metric: str
    min: float | None = None
    max: float | None = None
    beats_champion: bool = False
    direction: Literal["maximize", "minimize"] | None = None


@dataclass(frozen=True, kw_only=True)
class Scale:
    min: int = 0
    max: int = 4
    metric: Literal["concurrency", "rps", "cpu", "memory"] = "concurrency"
    target: int = 16
    idle_s: float = 300.0


@dataclass(frozen=True, kw_only=True)
class Serve:
    run: str
    model: str | None = None
    health: str = "/"
    resources: Resources = field(default_factory=Resources)
    scale: Scale = field(default_factory=Scale)
    timeout_s: float = 60.0
    startup_s: float = 120.0
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One verify request and what is expected, both as written but for units in seconds."""

    name: str
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    text: str | None = None
    has_json: bool = False
    timeout_s: float = 30.0
    expect: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Deploy:
    endpoint: str
    strategy: Strategy = "instant"
    steps: tuple[int, ...] = (100,)
    pause_s: float = 60.0
    manual: bool = False
    max_error_rate: float | None = None
    max_p95_s: float | None = None
    public: bool = False


@dataclass(frozen=True, kw_only=True)
class Manifest:
    name: str
    steps: tuple[Step, ...]
    python: str = ""
    requirements: str | None = None
    params: Mapping[str, Scalar] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    gate: Gate | None = None
    serve: Serve | None = None
    verify: tuple[Check, ...] = ()
    deploy: Deploy | None = None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-safe copy that `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Manifest:
        values = dict(data)
        values["steps"] = tuple(
            Step(**{**s, "needs": tuple(s["needs"]), "resources": Resources(**s["resources"])})
            for s in data["steps"]
        )
        values["secrets"] = tuple(data["secrets"])
        values["verify"] = tuple(Check(**c) for c in data["verify"])
        if data.get("gate"):
            values["gate"] = Gate(**data["gate"])
        if data.get("serve"):
            serve = data["serve"]
            values["serve"] = Serve(
                **{
                    **serve,
                    "resources": Resources(**serve["resources"]),
                    "scale": Scale(**serve["scale"]),
                }
            )
        if data.get("deploy"):
            values["deploy"] = Deploy(**{**data["deploy"], "steps": tuple(data["deploy"]["steps"])})
        return cls(**values)

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)


def parse(text: str) -> Manifest:
    """Read and check a manifest.

    Raises:
        ManifestError: with all of its problems.
    """
    document = load(text)
    if not isinstance(document.data, dict):
        raise ManifestError(
            [
                Problem(
                    code="not_a_mapping",
                    path="",
                    message="The file must hold `key: value` lines, beginning with "
                    "`apiVersion: hekaton/v1`.",
                    line=1,
                    column=1,
                )
            ]
        )
    problems = check_schema(document)
    problems += check_rules(document, broken={problem.path for problem in problems})
    if problems:
        raise ManifestError(problems)
    return _manifest(document.data)


def _manifest(data: dict[str, Any]) -> Manifest:
    return Manifest(
        name=data["name"],
        python=data.get("python", "").strip(),
        requirements=data.get("requirements"),
        params=dict(data.get("params") or {}),
        env=_env(data.get("env")),
        secrets=tuple(data.get("secrets") or ()),
        data={slot: str(value) for slot, value in (data.get("data") or {}).items()},
        steps=tuple(_step(name, step) for name, step in data["steps"].items()),
        gate=Gate(**data["gate"]) if data.get("gate") else None,
        serve=_serve(data["serve"]) if data.get("serve") else None,
        verify=tuple(_check(i, check) for i, check in enumerate(data.get("verify") or ())),
        deploy=_deploy(data["deploy"]) if data.get("deploy") else None,
    )


def _step(name: str, data: dict[str, Any]) -> Step:
    return Step(
        name=name,
        run=data["run"],
        needs=tuple(data.get("needs") or ()),
        resources=_resources(data.get("resources")),
        timeout_s=units.seconds(data.get("timeout", "1h")),
        retries=data.get("retries", 0),
        env=_env(data.get("env")),
        cache=data.get("cache", True),
    )


def _serve(data: dict[str, Any]) -> Serve:
    scale = data.get("scale") or {}
    metric = scale.get("metric", "concurrency")
    target = scale.get("concurrency", 16)
    return Serve(
        run=data["run"],
        model=data.get("model"),
        health=data.get("health", "/"),
        resources=_resources(data.get("resources")),
        scale=Scale(
            min=scale.get("min", 0),
            max=scale.get("max", max(4, scale.get("min", 0))),
            metric=metric,
            target=target if metric == "concurrency" else scale["target"],
            idle_s=units.seconds(scale.get("idle", "5m")),
        ),
        timeout_s=units.seconds(data.get("timeout", "60s")),
        startup_s=units.seconds(data.get("startup", "2m")),
        env=_env(data.get("env")),
    )


def _check(index: int, data: dict[str, Any]) -> Check:
    request, expect = data["request"], dict(data["expect"])
    if "within" in expect:
        expect["within"] = units.seconds(expect["within"])
    expect.setdefault("status", 200)
    body = "json" in request or "text" in request
    method = request.get("method", "POST" if body else "GET")
    return Check(
        name=data.get("name") or f"{method} {request['path']} ({index + 1})",
        method=method,
        path=request["path"],
        headers=dict(request.get("headers") or {}),
        json=request.get("json"),
        text=request.get("text"),
        has_json="json" in request,
        timeout_s=units.seconds(request.get("timeout", "30s")),
        expect=expect,
    )


def _deploy(data: dict[str, Any]) -> Deploy:
    strategy = data.get("strategy", "canary" if "steps" in data else "instant")
    abort = data.get("abort_on") or {}
    return Deploy(
        endpoint=data["endpoint"],
        strategy=strategy,
        steps=tuple(data.get("steps") or ((10, 50, 100) if strategy == "canary" else (100,))),
        pause_s=units.seconds(data.get("pause", "60s")),
        manual=data.get("manual", False),
        max_error_rate=abort.get("error_rate"),
        max_p95_s=units.seconds(abort["p95"]) if "p95" in abort else None,
        public=data.get("public", False),
    )


def _resources(data: dict[str, Any] | None) -> Resources:
    given = {**MIN_RESOURCES, **(data or {})}
    return Resources(
        cpu_m=units.millicores(given["cpu"]),
        memory_bytes=units.memory_bytes(given["memory"]),
        gpu=given["gpu"],
        resource_class=given.get("class", ""),
    )


def _env(data: dict[str, Any] | None) -> dict[str, str]:
    return {
        name: ("true" if value else "false") if isinstance(value, bool) else str(value)
        for name, value in (data or {}).items()
    }
