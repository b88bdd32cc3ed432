"""The API: POST /predict with one flight that has just left the gate."""

import json
import os
from pathlib import Path

import lightgbm as lgb
from fastapi import FastAPI
from pydantic import BaseModel, Field

import features

kept = Path(os.environ["HEKATON_MODEL_DIR"])
model = lgb.Booster(model_file=kept / "model.txt")
known = json.loads((kept / "vocabulary.json").read_text())
app = FastAPI(title="Delay at arrival")


class Flight(BaseModel):
    month: int = Field(ge=1, le=12)
    day: int = Field(ge=1, le=31)
    weekday: int = Field(ge=0, le=6, description="Monday is 0")
    hour: int = Field(ge=0, le=24, description="Scheduled hour of departure")
    dep_delay: float = Field(description="Minutes")
    distance: float = Field(gt=0, description="Miles")
    carrier: str
    origin: str
    dest: str


class Answer(BaseModel):
    arr_delay: float = Field(description="Minutes; below zero is early")


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/predict")
def predict(flight: Flight) -> Answer:
    row = features.matrix({name: [getattr(flight, name)] for name in features.NAMES}, known)
    return Answer(arr_delay=float(model.predict(row, num_threads=1)[0]))
