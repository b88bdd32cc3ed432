"""Learn languages from character n-grams: TF-IDF and a linear classifier."""

import os
from pathlib import Path

import joblib
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import metrics
import texts

lines, languages = texts.read(os.environ["HEKATON_DATA_TRAIN"])
print(f"{len(lines)} lines in {len(set(languages))} languages")

model = make_pipeline(
    TfidfVectorizer(
        analyzer="char_wb",
        ngram_range=(1, int(os.environ["HEKATON_PARAM_LONGEST"])),
        max_features=int(os.environ["HEKATON_PARAM_FEATURES"]),
        sublinear_tf=True,
    ),
    LogisticRegression(C=10, max_iter=300),
)
model.fit(lines, languages)
metrics.log("train_accuracy", model.score(lines, languages))
joblib.dump(model, Path(os.environ["HEKATON_OUTPUT_DIR"], "model.joblib"), compress=3)
