"""Score the model on wines that it has not seen."""

import os
from pathlib import Path

import joblib
from sklearn.metrics import accuracy_score, f1_score, log_loss

import metrics
import wines

kept = joblib.load(Path(os.environ["HEKATON_INPUT_TRAIN"], "model.joblib"))
measurements, growers, _ = wines.read(os.environ["HEKATON_DATA_TEST"])
predicted = kept["model"].predict(measurements)

metrics.log("accuracy", accuracy_score(growers, predicted))
metrics.log("f1_macro", f1_score(growers, predicted, average="macro"))
metrics.log("log_loss", log_loss(growers, kept["model"].predict_proba(measurements)))
