"""The API: POST /distance with two points."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import BaseModel, Field

import earth

app = FastAPI(title="Distances")
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]


class Journey(BaseModel):
    start: tuple[Latitude, Longitude]
    end: tuple[Latitude, Longitude]


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/distance")
def distance(journey: Journey) -> dict[str, float]:
    return {"km": round(earth.distance_km(journey.start, journey.end), 3)}
