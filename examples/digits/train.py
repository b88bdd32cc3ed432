"""Train a network with one hidden layer, an epoch at a time, and keep its weights.

The weights are kept as plain arrays: the server needs NumPy only, and nothing is unpickled.
"""

import json
import os
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier

import images
import metrics

params = json.loads(Path(os.environ["HEKATON_PARAMS"]).read_text())
pixels, digits = images.read(os.environ["HEKATON_DATA_TRAIN"])
order = np.random.default_rng(params["seed"]).permutation(len(digits))
held, fitted = order[: len(order) // 10], order[len(order) // 10 :]
print(f"{len(fitted)} images to fit, {len(held)} held out")

model = MLPClassifier(
    hidden_layer_sizes=(params["hidden"],),
    alpha=1e-3,
    batch_size=64,
    random_state=params["seed"],
)
for epoch in range(1, params["epochs"] + 1):
    shuffled = np.random.default_rng(params["seed"] + epoch).permutation(fitted)
    model.partial_fit(pixels[shuffled], digits[shuffled], classes=np.arange(10))
    metrics.log("loss", model.loss_, epoch)
    metrics.log("valid_accuracy", model.score(pixels[held], digits[held]), epoch)

np.savez(
    Path(os.environ["HEKATON_OUTPUT_DIR"], "network.npz"),
    w1=model.coefs_[0],
    b1=model.intercepts_[0],
    w2=model.coefs_[1],
    b2=model.intercepts_[1],
)
