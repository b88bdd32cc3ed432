"""Metrics of a step, where the portal looks for them."""

import json
import os


def log(name: str, value: float, step: int = 0) -> None:
    print(f"{name} = {value:.4f}", flush=True)
    with open(os.environ["HEKATON_METRICS"], "a", encoding="utf-8") as file:
        file.write(json.dumps({"name": name, "value": float(value), "step": step}) + "\n")
