"""Score the model on lines that it has not seen, and show which languages it mixes up."""

import os
from collections import Counter
from pathlib import Path

import joblib
from sklearn.metrics import accuracy_score, f1_score

import metrics
import texts

model = joblib.load(Path(os.environ["HEKATON_INPUT_TRAIN"], "model.joblib"))
lines, languages = texts.read(os.environ["HEKATON_DATA_TEST"])
guesses = model.predict(lines)

metrics.log("accuracy", accuracy_score(languages, guesses))
metrics.log("f1_macro", f1_score(languages, guesses, average="macro"))

mixed = Counter((right, wrong) for right, wrong in zip(languages, guesses) if right != wrong)
for (right, wrong), count in mixed.most_common(10):
    print(f"{count:4d} lines in {right} taken for {wrong}")
