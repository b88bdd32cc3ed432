"""The trained network with NumPy alone."""

from pathlib import Path

import numpy as np


class Network:
    def __init__(self, folder: str) -> None:
        with np.load(Path(folder, "network.npz"), allow_pickle=False) as file:
            self.w1, self.b1, self.w2, self.b2 = (file[name] for name in ("w1", "b1", "w2", "b2"))

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        hidden = np.maximum(pixels @ self.w1 + self.b1, 0)
        scores = hidden @ self.w2 + self.b2
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
