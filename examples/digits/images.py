"""Reading the images: 28 by 28 grey values in one compressed NumPy file."""

from pathlib import Path

import numpy as np


def read(folder: str) -> tuple[np.ndarray, np.ndarray]:
    """One image a row with values from 0 to 1, and the digits."""
    with np.load(Path(folder, "digits.npz"), allow_pickle=False) as file:
        return file["images"].reshape(len(file["digits"]), -1) / 255.0, file["digits"]
