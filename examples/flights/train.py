"""Fit gradient-boosted trees to the flights of the training set."""

import json
import os
from pathlib import Path

import lightgbm as lgb

import features
import metrics

params = json.loads(Path(os.environ["HEKATON_PARAMS"]).read_text())
columns, delays = features.read(os.environ["HEKATON_DATA_TRAIN"])
known = features.vocabulary(columns)
print(f"{len(delays)} flights, {sum(map(len, known.values()))} words")

table = features.matrix(columns, known)
held = len(delays) // 10
data = lgb.Dataset(
    table[:-held],
    delays[:-held],
    feature_name=features.NAMES,
    categorical_feature=list(features.WORDS),
)


def report(env: lgb.callback.CallbackEnv) -> None:
    if (env.iteration + 1) % 20 == 0:
        metrics.log("valid_mae", env.evaluation_result_list[0][2], env.iteration + 1)


model = lgb.train(
    {
        "objective": "regression_l1",
        "metric": "l1",
        "learning_rate": params["learning_rate"],
        "num_leaves": params["leaves"],
        "num_threads": int(os.environ.get("OMP_NUM_THREADS", "1")),
        "deterministic": True,
        "force_row_wise": True,
        "seed": 7,
        "verbosity": -1,
    },
    data,
    num_boost_round=params["rounds"],
    valid_sets=[data.create_valid(table[-held:], delays[-held:])],
    callbacks=[report],
)
output = Path(os.environ["HEKATON_OUTPUT_DIR"])
model.save_model(output / "model.txt")
(output / "vocabulary.json").write_text(json.dumps(known))
