"""Fit a classifier to the training wines and keep it as this step's output."""

import os
from pathlib import Path

import joblib
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import metrics
import wines

measurements, growers, names = wines.read(os.environ["HEKATON_DATA_TRAIN"])
print(f"{len(growers)} wines with {len(names)} measurements")

strength = float(os.environ["HEKATON_PARAM_REGULARISATION"])
model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / strength, max_iter=1000))
metrics.log("cv_accuracy", cross_val_score(model, measurements, growers, cv=5).mean())

model.fit(measurements, growers)
target = Path(os.environ["HEKATON_OUTPUT_DIR"], "model.joblib")
joblib.dump({"model": model, "names": names}, target)
print(f"kept {target.name}, {target.stat().st_size} bytes")
