"""What the pipeline costs: seconds of a four-step no-op run, 50 runs at once, idle CPU and memory.

    python bench/pipeline.py [--quick] [--json] [--peers metaflow,prefect]

Starts the embedded portal on free ports and a home of its own, submits examples/noop over the API
and measures from submit to finished. Floors are bare processes; peers run the same four no-op
processes in the same run: Metaflow by its local scheduler, Prefect by its flow engine. Peers'
environments are made by uv in `--cache`. With --json, one line a figure.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from contract import snapshot  # noqa: E402
from tests.e2e.running import Portal, start_portal, stop_portal  # noqa: E402

PEERS = {"metaflow": ["metaflow"], "prefect": ["prefect==3.8.8", "fastapi>=0.139,<0.140"]}
METAFLOW = """
import subprocess
from metaflow import FlowSpec, step
class Pipe(FlowSpec):
    @step
    def start(self):
        subprocess.run(["/bin/true"], check=True); self.next(self.b)
    @step
    def b(self):
        subprocess.run(["/bin/true"], check=True); self.next(self.c)
    @step
    def c(self):
        subprocess.run(["/bin/true"], check=True); self.next(self.end)
    @step
    def end(self):
        subprocess.run(["/bin/true"], check=True)
if __name__ == "__main__":
    Pipe()
"""
PREFECT = """
import subprocess, sys, time
from prefect import flow, task
@task
def step(n, previous=None):
    subprocess.run(["/bin/true"], check=True); return n
@flow(log_prints=False)
def pipe():
    x = None
    for n in range(4):
        x = step(n, x)
if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        t = time.perf_counter(); pipe(); print("RUN", time.perf_counter() - t, flush=True)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, no peers")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peers", default="metaflow,prefect")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "hekaton-bench")
    options = parser.parse_args()
    repeats, many = (3, 10) if options.quick else (10, 50)
    figures: list[dict[str, Any]] = []

    floor = statistics.median(chain() for _ in range(repeats))
    peers = {}
    if not options.quick:
        for name in filter(None, options.peers.split(",")):
            peers[name] = peer(name, options.cache, repeats)

    portal = start_portal(Path(tempfile.mkdtemp(prefix="hk-bench-")))
    try:
        archive = noop()
        cold = run_once(portal, archive)
        warm = statistics.median(run_once(portal, archive) for _ in range(repeats))
        began = time.perf_counter()
        with ThreadPoolExecutor(8) as pool:
            uids = list(pool.map(lambda _: submit(portal, archive), range(many)))
        wait_all(portal, uids)
        together = time.perf_counter() - began
        cpu, memory = idle(portal, 5 if options.quick else 15)
    finally:
        stop_portal(portal)
    with ThreadPoolExecutor(2) as pool:
        began = time.perf_counter()
        list(pool.map(lambda _: chain(), range(many)))
        floor_together = time.perf_counter() - began

    def add(
        name: str, value: float, unit: str, floor: float | None, peer: dict[str, float]
    ) -> None:
        figures.append({"name": name, "value": round(value, 4), "unit": unit, "floor": floor and round(floor, 4),
                        "peer": {k: round(v, 4) for k, v in peer.items()},
                        "ratio": {k: round(v / value, 2) for k, v in peer.items()}})  # fmt: skip

    add("cold_run", cold, "s", floor, {})
    add("warm_run", warm, "s", floor, {k: v["warm"] for k, v in peers.items()})
    add(
        "step_overhead",
        (warm - floor) / 4,
        "s",
        0.0,
        {k: (v["warm"] - floor) / 4 for k, v in peers.items()},
    )
    add("runs_per_minute", 60 * many / together, "runs/min", 60 * many / floor_together,
        {k: 60 / v["warm"] for k, v in peers.items()})  # fmt: skip
    add("idle_cpu", cpu, "% of a core", 0.0, {})
    add("idle_memory", memory, "MiB", None, {})
    for figure in figures:
        print(json.dumps(figure) if options.json else human(figure))
    return 0


def human(figure: dict[str, Any]) -> str:
    peers = ", ".join(f"{k} {v:g}" for k, v in figure["peer"].items())
    floor = f" (floor {figure['floor']:g})" if figure["floor"] else ""
    return f"{figure['name']:<16} {figure['value']:>10.3f} {figure['unit']}{floor} {peers}"


def chain() -> float:
    """Four bare processes in a row."""
    began = time.perf_counter()
    for _ in range(4):
        subprocess.run(["/bin/true"], check=True)
    return time.perf_counter() - began


def noop() -> bytes:
    folder = ROOT / "examples" / "noop"
    packed = io.BytesIO()
    snapshot.write_archive(folder, snapshot.scan(folder), packed)
    return packed.getvalue()


def submit(portal: Portal, archive: bytes) -> str:
    answer = portal.api("POST", "/submissions", data={"team": "demo", "use_cache": "false"},
                        files={"snapshot": ("s.tar.gz", archive)})  # fmt: skip
    answer.raise_for_status()
    uid: str = answer.json()["uid"]
    return uid


def run_once(portal: Portal, archive: bytes) -> float:
    began = time.perf_counter()
    uid = submit(portal, archive)
    with httpx.Client(headers={"Authorization": f"Bearer {portal.token}"}) as client:
        while True:
            run = client.get(f"{portal.url}/api/v1/runs/{uid}").json()
            if run["status"] not in ("pending", "running"):
                assert run["status"] == "succeeded", run["message"]
                return time.perf_counter() - began
            time.sleep(0.01)


def wait_all(portal: Portal, uids: list[str]) -> None:
    left = set(uids)
    while left:
        rows = portal.get("/runs?limit=200&status=succeeded,failed,crashed")["results"]
        left -= {row["uid"] for row in rows}
        time.sleep(0.1)


def idle(portal: Portal, seconds: float) -> tuple[float, float]:
    """CPU (percent of one core) and memory (PSS where it can be read) of the whole system."""
    processes = [psutil.Process(portal.process.pid)]
    processes += processes[0].children(recursive=True)
    time.sleep(2)
    before = sum(sum(p.cpu_times()[:2]) for p in processes if p.is_running())
    time.sleep(seconds)
    after = sum(sum(p.cpu_times()[:2]) for p in processes if p.is_running())
    memory = 0.0
    for process in processes:
        try:
            memory += process.memory_full_info().pss
        except (psutil.Error, AttributeError):
            continue
    return 100 * (after - before) / seconds, memory / 2**20


def peer(name: str, cache: Path, repeats: int) -> dict[str, float]:
    """The peer's median seconds of a warm four-step run."""
    venv = cache / name
    uv = Path(sys.executable).parent / "uv"
    if not (venv / "bin" / "python").exists():
        subprocess.run([str(uv), "venv", "-q", str(venv)], check=True)
        subprocess.run(
            [
                str(uv),
                "pip",
                "install",
                "-q",
                "--python",
                str(venv / "bin" / "python"),
                *PEERS[name],
            ],
            check=True,
        )
    folder = Path(tempfile.mkdtemp(prefix=f"hk-{name}-"))
    script = folder / "pipe.py"
    script.write_text(METAFLOW if name == "metaflow" else PREFECT)
    env = {**os.environ, "HOME": str(folder), "METAFLOW_USER": "bench", "PREFECT_HOME": str(folder / "p"),
           "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}  # fmt: skip
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    python = str(venv / "bin" / "python")
    if name == "prefect":
        done = subprocess.run([python, str(script), str(repeats + 1)], env=env, cwd=folder, check=True,
                              capture_output=True, text=True)  # fmt: skip
        times = [
            float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("RUN")
        ]
        return {"warm": statistics.median(times[1:])}
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        subprocess.run(
            [python, str(script), "run"], env=env, cwd=folder, check=True, capture_output=True
        )
        times.append(time.perf_counter() - began)
    return {"warm": statistics.median(times[1:])}


if __name__ == "__main__":
    sys.exit(main())
