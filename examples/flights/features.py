"""What a flight looks like to the model. Shared by training, evaluation and the API.

The sets are compressed NumPy files: whole columns load at once, and no pickles are read.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

NUMBERS = ("month", "day", "weekday", "hour", "dep_delay", "distance")
WORDS = ("carrier", "origin", "dest")
NAMES = [*NUMBERS, *WORDS]
Vocabulary = dict[str, list[str]]


def read(folder: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns by name and the delay at arrival in minutes."""
    with np.load(Path(folder, "flights.npz"), allow_pickle=False) as table:
        return {name: table[name] for name in NAMES}, table["arr_delay"].astype(float)


def vocabulary(columns: Mapping[str, np.ndarray]) -> Vocabulary:
    return {name: np.unique(columns[name]).tolist() for name in WORDS}


def matrix(columns: Mapping[str, Sequence[object] | np.ndarray], known: Vocabulary) -> np.ndarray:
    """One row a flight; words as their index in `known`, words not in it as missing."""
    parts = [np.asarray(columns[name], dtype=float) for name in NUMBERS]
    for name in WORDS:
        index = {word: float(i) for i, word in enumerate(known[name])}
        parts.append(np.array([index.get(str(word), np.nan) for word in columns[name]]))
    return np.column_stack(parts)
