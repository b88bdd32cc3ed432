"""A small description of a table: rows, columns, types, nulls, range or commonest values.

CSV and JSON lines, up to 100,000 rows. Anything else has no profile.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from portal.core.storage import Storage

MAX_ROWS = 100_000
MAX_COLUMNS = 200
MAX_DISTINCT = 1000
BINS = 20


def profile_file(store: Storage, key: str, path: str) -> dict[str, Any] | None:
    """The profile of one stored file, or None where it is no table that we read."""
    lower = path.lower()
    try:
        with store.open(key) as raw:
            text = io.TextIOWrapper(raw, "utf-8", errors="replace", newline="")
            if lower.endswith((".csv", ".tsv")):
                return _profile(_csv_rows(text, "\t" if lower.endswith(".tsv") else ","))
            if lower.endswith((".jsonl", ".ndjson")):
                return _profile(_json_rows(text))
    except (csv.Error, ValueError, OSError):
        return None
    return None


def _csv_rows(text: io.TextIOWrapper, delimiter: str) -> Iterator[dict[str, Any]]:
    for row in csv.DictReader(text, delimiter=delimiter):
        yield {str(k): v for k, v in row.items() if k is not None}


def _json_rows(text: io.TextIOWrapper) -> Iterator[dict[str, Any]]:
    for line in text:
        if line.strip():
            row = json.loads(line)
            if isinstance(row, dict):
                yield row


class _Column:
    def __init__(self) -> None:
        self.nulls = 0
        self.numbers: list[float] = []
        self.texts: Counter[str] = Counter()
        self.other = 0

    def add(self, value: Any) -> None:
        if value is None or value == "":
            self.nulls += 1
            return
        number = _number(value)
        if number is not None:
            self.numbers.append(number)
        elif len(self.texts) < MAX_DISTINCT or str(value) in self.texts:
            self.texts[str(value)[:100]] += 1
        else:
            self.other += 1

    def describe(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {"name": name, "nulls": self.nulls}
        if self.numbers and not self.texts:
            low, high = min(self.numbers), max(self.numbers)
            whole = all(n.is_integer() for n in self.numbers)
            mean = sum(self.numbers) / len(self.numbers)
            return {
                **found, "type": "integer" if whole else "number", "min": low, "max": high,
                "mean": mean, "histogram": _histogram(self.numbers, low, high),
            }  # fmt: skip
        for number in self.numbers:
            self.texts[f"{number:g}"] += 1
        return {
            **found, "type": "text" if self.texts else "empty",
            "distinct": len(self.texts) if not self.other else None,
            "top": [[text, count] for text, count in self.texts.most_common(10)],
        }  # fmt: skip


def _profile(rows: Iterator[dict[str, Any]]) -> dict[str, Any]:
    columns: dict[str, _Column] = {}
    count = 0
    whole = True
    for row in rows:
        if count == MAX_ROWS:
            whole = False
            break
        count += 1
        for name, value in row.items():
            if name in columns or len(columns) < MAX_COLUMNS:
                columns.setdefault(name, _Column()).add(value)
    return {
        "rows": count,
        "complete": whole,
        "columns": [column.describe(name) for name, column in columns.items()],
    }


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _histogram(numbers: list[float], low: float, high: float) -> list[int]:
    bins = [0] * BINS
    width = (high - low) / BINS or 1.0
    for number in numbers:
        bins[min(BINS - 1, int((number - low) / width))] += 1
    return bins
