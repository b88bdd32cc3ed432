"""Requests a second through the gateway with keys on, next to the same server called directly and
to BentoML and MLflow serving the same model.

    python bench/serving.py [--quick] [--json] [--peers bentoml,mlflow] [--seconds 5] [--rounds 3]

Everything is started here, on loopback and free ports, in a home of its own. All systems serve one
scikit-learn model with one worker and no access log of their own, and are measured in turn within
each round, so that a noisy machine is noisy for all of them; a figure is the median of the rounds.
Environments are made by uv in `--cache` (or named by BENCH_<NAME>_PYTHON). Needs `wrk`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from node.client import NodeClient, NodeError  # noqa: E402
from node.config import runtime_folder  # noqa: E402
from node.documents import (  # noqa: E402
    AuthDocument,
    EndpointDocument,
    Limits,
    Mount,
    Probe,
    ProcessDocument,
    RevisionDocument,
    Scale,
    TrafficDocument,
)
from serving import keys  # noqa: E402

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.2, 2.8, 4.8, 1.8]]
PACKAGES = {
    "ours": ["fastapi", "uvicorn[standard]", "scikit-learn", "joblib"],
    "bentoml": ["bentoml", "scikit-learn", "joblib", "uvloop", "httptools"],
    "mlflow": ["mlflow", "scikit-learn", "joblib", "uvloop", "httptools"],
}
TRAIN = """
import sys, joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
joblib.dump(LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True)), sys.argv[1])
"""
SERVER = """
import os
import joblib, numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

model = joblib.load(os.environ["HEKATON_MODEL_DIR"] + "/model.joblib")
app = FastAPI()

class Rows(BaseModel):
    instances: list[list[float]]

@app.get("/healthz")
async def healthz():
    return {}

@app.post("/predict")
async def predict(rows: Rows):
    return {"predictions": model.predict(np.asarray(rows.instances)).tolist()}
"""
BENTO = """
import os
import bentoml, joblib, numpy as np

@bentoml.service(workers=1, traffic={"timeout": 30}, logging={"access": {"enabled": False}})
class Iris:
    def __init__(self):
        self.model = joblib.load(os.environ["MODEL_FILE"])

    @bentoml.api
    def predict(self, instances: list[list[float]]) -> list[int]:
        return self.model.predict(np.asarray(instances)).tolist()
"""
SAVE_MLFLOW = """
import sys, joblib, mlflow.sklearn
model = joblib.load(sys.argv[1])
mlflow.sklearn.save_model(model, sys.argv[2], serialization_format="cloudpickle")
"""
QUIET_ENV = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "BENTOML_DO_NOT_TRACK": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1",
}  # fmt: skip


@dataclass
class Target:
    name: str
    url: str
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    rates: dict[int, list[float]] = field(default_factory=dict)
    p50: dict[int, list[float]] = field(default_factory=dict)
    p99: dict[int, list[float]] = field(default_factory=dict)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round, no peers")
    parser.add_argument("--json", action="store_true", help="one JSON line a figure")
    parser.add_argument("--peers", default="bentoml,mlflow")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", default="1,16,64")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "hekaton-bench")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        print("bench/serving.py needs `wrk` (apt-get install wrk).", file=sys.stderr)
        return 2
    if options.quick:
        options.seconds, options.rounds, options.peers = 2.0, 1, ""
    folder = Path(tempfile.mkdtemp(prefix="hk-bench-"))
    running: list[subprocess.Popen[bytes]] = []
    try:
        python = environment("ours", options.cache)
        model = folder / "home" / "model" / "model.joblib"
        model.parent.mkdir(parents=True)
        subprocess.run([python, "-c", TRAIN, str(model)], check=True)
        targets = ours(folder / "home", python, running)
        for peer in filter(None, options.peers.split(",")):
            targets.append(PEERS[peer](folder, options.cache, model, running))
        connections = [int(c) for c in options.connections.split(",")]
        for target in targets:
            load(target, 8, 1.0)
        for _ in range(options.rounds):
            for count in connections:
                for target in targets:
                    measure(target, count, options.seconds)
        report(targets, connections, options.json)
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


# Systems -----------------------------------------------------------------------------------


def environment(name: str, cache: Path) -> str:
    """The python of an environment with the system's packages, made once."""
    given = os.environ.get(f"BENCH_{name.upper()}_PYTHON")
    if given:
        return given
    folder = cache / name
    if not (folder / ".complete").exists():
        uv = str(Path(sys.executable).parent / "uv")
        print(f"installing {name} into {folder} ...", file=sys.stderr)
        subprocess.run([uv, "venv", "-q", "--clear", "-p", sys.executable, str(folder)], check=True)
        subprocess.run(
            [uv, "pip", "install", "-q", "--compile-bytecode", "--python",
             str(folder / "bin" / "python"), *PACKAGES[name]],
            check=True,
        )  # fmt: skip
        (folder / ".complete").touch()
    return str(folder / "bin" / "python")


def ours(home: Path, python: str, running: list[subprocess.Popen[bytes]]) -> list[Target]:
    """A node with one endpoint; the replica itself is the floor."""
    code = home / "code"
    code.mkdir(parents=True)
    (code / "serve.py").write_text(textwrap.dedent(SERVER))
    ring = keys.load_or_create(home / "keys" / keys.KEY_FILE)
    port = free_port()
    running.append(
        start([sys.executable, "-m", "node", "--home", str(home), "--gateway-port", str(port)],
              home / "node.log", cwd=ROOT)
    )  # fmt: skip
    client = NodeClient(runtime_folder(home) / "node.sock")
    revision = RevisionDocument(
        uid="R1",
        name="bench",
        digest="sha256:0",
        process=ProcessDocument(
            command="python -m uvicorn serve:app --host 127.0.0.1 --port $PORT "
            "--no-access-log --log-level warning",
            cwd="/opt/hekaton/code",
            environment="/opt/hekaton/env",
            env=QUIET_ENV,
            mounts=(
                Mount(source=str(Path(python).parents[1]), target="/opt/hekaton/env"),
                Mount(source=str(code), target="/opt/hekaton/code"),
                Mount(
                    source=str(home / "model"),
                    target="/opt/hekaton/model",
                    env_path="HEKATON_MODEL_DIR",
                ),
            ),
            limits=Limits(cpu_m=1000),
        ),
        probe=Probe(path="/healthz"),
        scale=Scale(min=1, max=1),
        log_dir=str(home / "logs"),
    )
    document = EndpointDocument(
        uid="E1",
        name="bench",
        generation=1,
        route="/e/bench/iris/live",
        revisions=(revision,),
        traffic=(TrafficDocument(revision_uid="R1", percent=100),),
        auth=AuthDocument(mode="key", audience="E1", live_key_ids=("bench",)),
    )
    address = None
    deadline = time.monotonic() + 60
    while address is None:
        assert time.monotonic() < deadline, (home / "node.log").read_text()
        try:
            found = client.put_endpoint(document)
            if found.routed_generation == 1:
                address = found.revisions[0].replicas[0].address
        except NodeError:
            pass
        time.sleep(0.1)
    body = json.dumps({"instances": ROWS})
    token = ring.issue("E1", "bench")
    return [
        Target("direct", f"http://{address}/predict", body),
        Target(
            "gateway",
            f"http://127.0.0.1:{port}/e/bench/iris/live/predict",
            body,
            {"Authorization": f"Bearer {token}"},
        ),
    ]


def bentoml(
    folder: Path, cache: Path, model: Path, running: list[subprocess.Popen[bytes]]
) -> Target:
    python = environment("bentoml", cache)
    (folder / "bento_service.py").write_text(textwrap.dedent(BENTO))
    port = free_port()
    running.append(
        start(
            [python, "-m", "bentoml", "serve", "bento_service:Iris", "--host", "127.0.0.1",
             "--port", str(port)],
            folder / "bentoml.log", cwd=folder,
            env={"MODEL_FILE": str(model), "BENTOML_HOME": str(folder / "bento")},
        )
    )  # fmt: skip
    wait_until(f"http://127.0.0.1:{port}/readyz")
    body = json.dumps({"instances": ROWS})
    return Target("bentoml", f"http://127.0.0.1:{port}/predict", body)


def mlflow(
    folder: Path, cache: Path, model: Path, running: list[subprocess.Popen[bytes]]
) -> Target:
    python = environment("mlflow", cache)
    saved, port = folder / "mlflow-model", free_port()
    subprocess.run([python, "-c", SAVE_MLFLOW, str(model), str(saved)], check=True,
                   env=os.environ | QUIET_ENV, cwd=folder, capture_output=True)  # fmt: skip
    running.append(
        start(
            [python, "-m", "mlflow", "models", "serve", "-m", str(saved), "--env-manager", "local",
             "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
            folder / "mlflow.log", cwd=folder,
            env={"PATH": f"{Path(python).parent}:{os.environ['PATH']}"},
        )
    )  # fmt: skip
    wait_until(f"http://127.0.0.1:{port}/ping")
    body = json.dumps({"inputs": ROWS})
    return Target("mlflow", f"http://127.0.0.1:{port}/invocations", body)


PEERS = {"bentoml": bentoml, "mlflow": mlflow}


def start(
    command: list[str], log: Path, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            command, cwd=cwd, stdout=output, stderr=output, env=os.environ | QUIET_ENV | (env or {})
        )


def wait_until(url: str, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Measuring ---------------------------------------------------------------------------------


def measure(target: Target, connections: int, seconds: float) -> None:
    text = load(target, connections, seconds)
    found = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert found, text
    assert "Non-2xx" not in text, f"{target.name}: {text}"
    target.rates.setdefault(connections, []).append(float(found[1]))
    for share, kept in (("50", target.p50), ("99", target.p99)):
        value = re.search(rf"\s{share}%\s+([\d.]+)(us|ms|s)", text)
        assert value, text
        factor = {"us": 1e-3, "ms": 1.0, "s": 1e3}[value[2]]
        kept.setdefault(connections, []).append(float(value[1]) * factor)


def load(target: Target, connections: int, seconds: float) -> str:
    script = Path(tempfile.gettempdir()) / f"hk-bench-{os.getpid()}-{target.name}.lua"
    lines = ['wrk.method = "POST"', f"wrk.body = [==[{target.body}]==]"]
    headers = {"Content-Type": "application/json"} | target.headers
    lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
    script.write_text("\n".join(lines))
    try:
        done = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "-s", str(script),
             target.url],
            capture_output=True, text=True, check=True, timeout=seconds + 30,
        )  # fmt: skip
    finally:
        script.unlink()
    return done.stdout


def report(targets: list[Target], connections: list[int], as_json: bool) -> None:
    middle = statistics.median
    floor = targets[0]
    peers = [t for t in targets if t.name not in ("direct", "gateway")]
    gateway = next(t for t in targets if t.name == "gateway")
    for count in connections:
        base = middle(floor.rates[count])
        best = max((middle(t.rates[count]) for t in peers), default=None)
        figures = [
            ("requests_per_s", middle(gateway.rates[count]), "1/s", base, best),
            ("p50", middle(gateway.p50[count]), "ms", middle(floor.p50[count]),
             min((middle(t.p50[count]) for t in peers), default=None)),
            ("p99", middle(gateway.p99[count]), "ms", middle(floor.p99[count]),
             min((middle(t.p99[count]) for t in peers), default=None)),
        ]  # fmt: skip
        for name, value, unit, lowest, peer in figures:
            if as_json:
                print(json.dumps({
                    "name": f"serving.{name}.c{count}", "value": round(value, 3), "unit": unit,
                    "floor": round(lowest, 3), "peer": round(peer, 3) if peer else None,
                    "ratio": round(value / lowest, 3),
                }))  # fmt: skip
            else:
                against = f"   best peer {peer:.2f}" if peer else ""
                print(f"{count:3d} connections  {name:15s} {value:9.2f} {unit:4s}"
                      f"direct {lowest:9.2f}  ratio {value / lowest:.2f}{against}")  # fmt: skip
        if as_json:
            for one in peers:
                print(json.dumps({
                    "name": f"serving.requests_per_s.c{count}.{one.name}",
                    "value": round(middle(one.rates[count]), 3), "unit": "1/s",
                    "floor": round(base, 3), "peer": None,
                    "ratio": round(middle(one.rates[count]) / base, 3),
                }))  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
