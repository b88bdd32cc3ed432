"""Reading the wines: one CSV file with a header, the grower in the last column."""

import csv
from pathlib import Path

import numpy as np


def read(folder: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Measurements, growers and the names of the measurements."""
    with Path(folder, "wines.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    table = np.array(rows, dtype=float)
    return table[:, :-1], table[:, -1].astype(int), header[:-1]
