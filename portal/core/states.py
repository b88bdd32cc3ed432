"""Transition tables: which status may follow which. Pure; no Django."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TransitionTable:
    """The allowed moves of one noun. A status without moves is terminal."""

    noun: str
    moves: Mapping[str, frozenset[str]]
    initial: str
    _terminal: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        unknown = {to for tos in self.moves.values() for to in tos} - set(self.moves)
        if unknown or self.initial not in self.moves:
            raise ValueError(f"{self.noun}: not a status of the table: {sorted(unknown)}")
        object.__setattr__(
            self, "_terminal", frozenset(s for s, tos in self.moves.items() if not tos)
        )

    @property
    def statuses(self) -> frozenset[str]:
        return frozenset(self.moves)

    @property
    def terminal(self) -> frozenset[str]:
        return self._terminal

    @property
    def active(self) -> frozenset[str]:
        return frozenset(self.moves) - self._terminal

    def is_terminal(self, status: str) -> bool:
        return status in self._terminal

    def allows(self, status: str, to: str) -> bool:
        return to in self.moves.get(status, frozenset())
