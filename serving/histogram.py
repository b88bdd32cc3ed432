"""Latency histograms: cumulative counts by upper bound. Pure.

Percentiles are interpolated within a bucket, as Prometheus's histogram_quantile does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

Buckets = Mapping[str, int]


def bound(text: str) -> float:
    return float("inf") if text in ("inf", "+Inf") else float(text)


def delta(now: Buckets, before: Buckets) -> dict[str, int]:
    """What came in between; a counter that went back has started again."""
    if any(now.get(key, 0) < count for key, count in before.items()):
        return dict(now)
    return {key: count - before.get(key, 0) for key, count in now.items()}


def add(one: Buckets, other: Buckets) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}


def quantile(buckets: Buckets, q: float) -> float | None:
    """The q-quantile in seconds, or None without a sample."""
    rows = sorted((bound(key), count) for key, count in buckets.items())
    if not rows or rows[-1][1] == 0:
        return None
    rank = q * rows[-1][1]
    low, below = 0.0, 0
    for high, count in rows:
        if count >= rank:
            if high == float("inf"):
                return low
            inside = count - below
            return low + (high - low) * ((rank - below) / inside if inside else 1.0)
        low, below = high, count
    return low


def floor(at: datetime, width_s: int) -> datetime:
    """The beginning of the stretch of `width_s` seconds that `at` lies in."""
    seconds = int(at.timestamp()) // width_s * width_s
    return datetime.fromtimestamp(seconds, tz=at.tzinfo)
