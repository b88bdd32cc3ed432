"""Metric lines as steps write them to `HEKATON_METRICS`. Pure.

A line is JSON: `{"name": "accuracy", "value": 0.97, "step": 3}`; `step` is optional and counts
epochs, iterations or whatever the curve's x axis is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

MAX_NAME = 100
MAX_REJECTED = 20


def parse_metrics(
    lines: Iterable[str], first_line: int = 1
) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]]:
    """(metrics, complaints): each metric is {name, value, step}; at most 20 complaints."""
    found: list[dict[str, Any]] = []
    rejected: list[str] = []
    for number, line in enumerate(lines, first_line):
        if not line.strip():
            continue
        metric, complaint = _metric(line)
        if metric is not None:
            found.append(metric)
        elif len(rejected) < MAX_REJECTED:
            rejected.append(f"metrics line {number}: {complaint}")
    return tuple(found), tuple(rejected)


def _metric(line: str) -> tuple[dict[str, Any] | None, str]:
    try:
        said = json.loads(line)
    except ValueError:
        return None, "it is not JSON"
    if not isinstance(said, dict):
        return None, "it is not an object"
    name, value, step = said.get("name"), said.get("value"), said.get("step")
    if not isinstance(name, str) or not name or len(name) > MAX_NAME:
        return None, f"`name` must be text of at most {MAX_NAME} characters"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None, f"`value` of {name} must be a finite number"
    if step is not None and (isinstance(step, bool) or not isinstance(step, int)):
        return None, f"`step` of {name} must be a whole number"
    return {"name": name, "value": float(value), "step": step}, ""
