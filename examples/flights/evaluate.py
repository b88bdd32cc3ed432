"""Score the model on days that it has not seen, next to two plain rules."""

import json
import os
from pathlib import Path

import lightgbm as lgb
import numpy as np

import features
import metrics

kept = Path(os.environ["HEKATON_INPUT_TRAIN"])
model = lgb.Booster(model_file=kept / "model.txt")
columns, delays = features.read(os.environ["HEKATON_DATA_TEST"])
table = features.matrix(columns, json.loads((kept / "vocabulary.json").read_text()))
errors = model.predict(table) - delays

metrics.log("mae", np.abs(errors).mean())
metrics.log("rmse", np.sqrt((errors**2).mean()))
metrics.log("mae_of_departure_delay", np.abs(columns["dep_delay"] - delays).mean())
metrics.log("mae_of_the_median", np.abs(np.median(delays) - delays).mean())
