"""Reading the lines: one CSV file with the columns text and language."""

import csv
from pathlib import Path


def read(folder: str) -> tuple[list[str], list[str]]:
    """Texts and their languages."""
    with Path(folder, "lines.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["language"] for row in rows]
