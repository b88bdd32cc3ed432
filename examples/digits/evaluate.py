"""Score the network that will be served on images that it has not seen."""

import os

import numpy as np

import images
import metrics
from network import Network

pixels, digits = images.read(os.environ["HEKATON_DATA_TEST"])
probabilities = Network(os.environ["HEKATON_INPUT_TRAIN"]).probabilities(pixels)
guesses = probabilities.argmax(axis=1)

metrics.log("accuracy", (guesses == digits).mean())
metrics.log("log_loss", -np.log(probabilities[np.arange(len(digits)), digits] + 1e-12).mean())
for digit in range(10):
    metrics.log(f"accuracy_of_{digit}", (guesses == digits)[digits == digit].mean())
