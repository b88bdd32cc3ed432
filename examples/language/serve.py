"""The API: POST /predict with lines of text, answers in the same order."""

import os
from pathlib import Path
from typing import Annotated

import joblib
from fastapi import FastAPI
from pydantic import BaseModel, Field

model = joblib.load(Path(os.environ["HEKATON_MODEL_DIR"], "model.joblib"))
app = FastAPI(title="Languages of texts")
Line = Annotated[str, Field(min_length=1, max_length=10_000)]


class Texts(BaseModel):
    texts: list[Line] = Field(min_length=1, max_length=100)


class Guess(BaseModel):
    language: str
    probability: float


class Answer(BaseModel):
    answers: list[Guess]


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/predict")
def predict(request: Texts) -> Answer:
    table = model.predict_proba(request.texts)
    best = table.argmax(axis=1)
    return Answer(
        answers=[
            Guess(language=str(model.classes_[i]), probability=float(row[i]))
            for i, row in zip(best, table)
        ]
    )
