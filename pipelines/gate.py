"""The gate's decision and whether a model becomes champion. Pure; the evidence is the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from contract.manifest import Gate


@dataclass(frozen=True)
class Rule:
    rule: str
    value: float | None
    threshold: float | None
    passed: bool
    message: str


@dataclass(frozen=True)
class Decision:
    passed: bool
    metric: str
    value: float | None
    direction: str
    data: Mapping[str, str]
    champion: Mapping[str, Any] | None
    rules: tuple[Rule, ...] = field(default_factory=tuple)

    @property
    def message(self) -> str:
        failed = [rule.message for rule in self.rules if not rule.passed]
        return " ".join(failed or [rule.message for rule in self.rules])

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "message": self.message}


@dataclass(frozen=True)
class Champion:
    """The reigning model's value of the metric, on the data of the contender where known."""

    number: int
    run_number: int
    value: float | None
    same_data: bool


def decide(
    gate: Gate,
    metrics: Mapping[str, float],
    *,
    direction: str,
    data: Mapping[str, str],
    champion: Champion | None,
) -> Decision:
    """Every rule of the gate on these final metric values."""
    way = gate.direction or ("minimize" if gate.max is not None and gate.min is None else direction)
    value = metrics.get(gate.metric)
    rules = []
    if value is None:
        known = ", ".join(sorted(metrics)) or "none"
        words = f"No step wrote the metric `{gate.metric}` (written: {known})."
        rules.append(Rule("present", None, None, False, words))
    else:
        if gate.min is not None:
            rules.append(_bound("min", gate.metric, value, gate.min, value >= gate.min, "at least"))
        if gate.max is not None:
            rules.append(_bound("max", gate.metric, value, gate.max, value <= gate.max, "at most"))
        if gate.beats_champion:
            rules.append(_against(gate.metric, value, way, champion))
    return Decision(
        passed=all(rule.passed for rule in rules),
        metric=gate.metric,
        value=value,
        direction=way,
        data=dict(data),
        champion=asdict(champion) if champion else None,
        rules=tuple(rules),
    )


def better(value: float, other: float, direction: str) -> bool:
    return value > other if direction == "maximize" else value < other


def _bound(
    rule: str, metric: str, value: float, threshold: float, passed: bool, words: str
) -> Rule:
    verdict = "is" if passed else "is not"
    return Rule(
        rule, value, threshold, passed, f"{metric} {value:g} {verdict} {words} {threshold:g}."
    )


def _against(metric: str, value: float, direction: str, champion: Champion | None) -> Rule:
    if champion is None or champion.value is None:
        return Rule("beats_champion", value, None, True, "There is no champion to beat yet.")
    if not champion.same_data:
        words = (
            f"The champion (run #{champion.run_number}) has no {metric} on this data version, "
            "so there is nothing to compare with."
        )
        return Rule("beats_champion", value, champion.value, True, words)
    passed = better(value, champion.value, direction)
    verdict = "beats" if passed else "does not beat"
    return Rule(
        "beats_champion",
        value,
        champion.value,
        passed,
        f"{metric} {value:g} {verdict} the champion's {champion.value:g} "
        f"(run #{champion.run_number}).",
    )
