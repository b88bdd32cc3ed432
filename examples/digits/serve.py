"""The API: POST /predict with an image as 28 rows of 28 characters, `#` for ink."""

import os
from typing import Annotated

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel, Field

from network import Network

network = Network(os.environ["HEKATON_MODEL_DIR"])
app = FastAPI(title="Handwritten digits")
Row = Annotated[str, Field(pattern=r"^[.#]{28}$")]


class Image(BaseModel):
    rows: list[Row] = Field(min_length=28, max_length=28)


class Answer(BaseModel):
    digit: int
    probabilities: list[float]


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/predict")
def predict(image: Image) -> Answer:
    pixels = np.array([[c == "#" for c in row] for row in image.rows], dtype=float).reshape(1, -1)
    probabilities = network.probabilities(pixels)[0]
    return Answer(digit=int(probabilities.argmax()), probabilities=probabilities.tolist())
