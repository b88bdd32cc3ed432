"""A fault in a document, with the place it is about."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Problem:
    """`path` is dotted ("steps.train.run"); line and column count from 1, 0 when unknown."""

    code: str
    path: str
    message: str
    line: int = 0
    column: int = 0
    hint: str = ""

    def to_dict(self) -> dict[str, Any]:
        data = asdict(self)
        data["field"] = data.pop("path")
        return data

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        name = f"{self.path}: " if self.path else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"{where}{name}{self.message}{hint}"


class ManifestError(Exception):
    """The manifest is wrong in every way that `problems` lists."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.line, p.column, p.path)))
        super().__init__("; ".join(str(p) for p in self.problems))


def nearest(word: str, candidates: Iterable[str]) -> str:
    """ "Did you mean `x`?" for the closest candidate, or what there is, or nothing."""
    known = sorted(candidates)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"Did you mean `{close[0]}`?"
    if known and len(known) <= 12:
        return f"Known here: {', '.join(known)}."
    return ""
