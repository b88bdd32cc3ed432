"""An endpoint's conditions, derived from what is wanted and what is observed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from serving.backends.base import EndpointObservation, RevisionObservation
from serving.traffic import Target

UP = frozenset({"ready", "idle"})


@dataclass(frozen=True)
class Condition:
    type: str
    status: str  # "True", "False", "Unknown"
    reason: str
    message: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def derive(
    *,
    generation: int,
    targets: Sequence[Target],
    names: Mapping[str, str],
    observed: EndpointObservation,
    error_rate: float | None,
) -> list[Condition]:
    """Ready, RevisionsReady, TrafficShifted and Healthy, in this order. `names` by revision uid;
    `error_rate` of the last minutes, None without requests."""
    if observed.state == "unknown":
        words = observed.message or "The backend cannot be asked."
        return [
            Condition(kind, "Unknown", "BackendUnreachable", words)
            for kind in ("Ready", "RevisionsReady", "TrafficShifted", "Healthy")
        ]
    seen = {revision.uid: revision for revision in observed.revisions}
    live = [target for target in targets if target.percent > 0]
    revisions = _revisions(live, names, seen)
    shifted = _shifted(generation, observed)
    healthy = _healthy(live, names, seen, error_rate)
    parts = [revisions, shifted, healthy]
    if not live:
        ready = Condition("Ready", "False", "NoRevision", "Nothing has been deployed yet.")
    else:
        bad = next((c for c in parts if c.status == "False"), None) or next(
            (c for c in parts if c.status == "Unknown"), None
        )
        ready = (
            Condition("Ready", bad.status, bad.reason, bad.message)
            if bad
            else Condition("Ready", "True", "Ready", "It answers.")
        )
    return [ready, *parts]


def _revisions(
    live: Sequence[Target], names: Mapping[str, str], seen: Mapping[str, RevisionObservation]
) -> Condition:
    for target in live:
        found = seen.get(target.revision)
        name = names.get(target.revision, target.revision)
        if found is None:
            return Condition("RevisionsReady", "Unknown", "Starting", f"{name} is being created.")
        if found.state not in UP:
            status = "False" if found.state == "failed" else "Unknown"
            words = found.message or found.state
            return Condition(
                "RevisionsReady", status, found.reason or "Starting", f"{name}: {words}"
            )
    if not live:
        return Condition("RevisionsReady", "Unknown", "NoRevision", "There is no revision yet.")
    return Condition("RevisionsReady", "True", "Ready", "")


def _shifted(generation: int, observed: EndpointObservation) -> Condition:
    if observed.routed_generation >= generation:
        return Condition("TrafficShifted", "True", "Routed", "")
    words = observed.message or "The data plane still serves the split before this one."
    return Condition("TrafficShifted", "Unknown", "Shifting", words)


def _healthy(
    live: Sequence[Target],
    names: Mapping[str, str],
    seen: Mapping[str, RevisionObservation],
    error_rate: float | None,
) -> Condition:
    for target in live:
        found = seen.get(target.revision)
        if found is None:
            continue
        ill = [r for r in found.replicas if r.state in ("exited", "backoff")]
        if ill and found.state not in UP:
            name = names.get(target.revision, target.revision)
            return Condition(
                "Healthy", "False", found.reason or "ReplicasFailing", f"{name}: {ill[0].message}"
            )
    if error_rate is not None and error_rate > 0.05:
        return Condition(
            "Healthy", "False", "Errors", f"{error_rate:.1%} of the requests of 5 minutes failed."
        )
    return Condition("Healthy", "True", "Healthy", "")
