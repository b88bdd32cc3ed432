"""The API: POST /predict with the measurements of one wine."""

import os
from pathlib import Path

import joblib
from fastapi import FastAPI
from pydantic import BaseModel

kept = joblib.load(Path(os.environ["HEKATON_MODEL_DIR"], "model.joblib"))
app = FastAPI(title="Growers of wines")


class Wine(BaseModel):
    alcohol: float
    malic_acid: float
    ash: float
    alcalinity_of_ash: float
    magnesium: float
    total_phenols: float
    flavanoids: float
    nonflavanoid_phenols: float
    proanthocyanins: float
    color_intensity: float
    hue: float
    od280_od315: float
    proline: float


class Answer(BaseModel):
    grower: int
    probabilities: list[float]


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/predict")
def predict(wine: Wine) -> Answer:
    row = [[getattr(wine, name) for name in kept["names"]]]
    probabilities = kept["model"].predict_proba(row)[0]
    return Answer(grower=int(probabilities.argmax()), probabilities=probabilities.tolist())
