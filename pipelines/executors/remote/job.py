"""The document that tells `runner.py` what to do, and reading back what it left.

Everything a remote attempt leaves is below `attempts/<uid>/` of the object store:
`output/...`, `metrics.jsonl` and `result.json`. The result is the runner's own word on how the
command ended; it outlives the pod or machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.names import param_variables, variable
from contract.snapshot import File, digest_of
from pipelines.executors.base import AttemptSpec, ExitInfo, OutputFile, Outputs, ResourceUsage
from pipelines.executors.metrics import parse_metrics
from portal.core import object_access
from portal.core.errors import NotFound
from portal.core.storage import storage

RUNNER_FOLDER = "/hekaton/runner"
JOB_PATH = "/hekaton/job/job.json"
COMMAND = ("python3", f"{RUNNER_FOLDER}/runner.py", JOB_PATH)
SPARE_S = 6 * 3600  # how much longer than its timeout a grant lives: queueing, image pull

PATHS = {
    "env": "/opt/hekaton/env",
    "code": "/opt/hekaton/code",
    "output": "/hekaton/output",
    "metrics": "/hekaton/metrics",
    "logs": "/hekaton/logs",
    "scratch": "/hekaton/scratch",
    "home": "/hekaton/home",
}
WRITABLE = (
    "/opt/hekaton/code",
    "/hekaton/output",
    "/hekaton/metrics",
    "/hekaton/logs",
    "/hekaton/scratch",
    "/hekaton/home",
    "/hekaton/data",
    "/hekaton/inputs",
    "/tmp",  # noqa: S108 - the container's own
)


@dataclass(frozen=True)
class Result:
    exit: ExitInfo
    usage: ResourceUsage
    started_at: float | None
    finished_at: float | None
    outputs: tuple[Mapping[str, Any], ...]


def job_document(spec: AttemptSpec, *, objects_url: str, lock: str | None) -> dict[str, Any]:
    """`objects_url` is the portal's `/objects` as the cluster reaches it. `lock` is given when
    the image brings no environment and the runner is to make it."""
    valid_s = spec.timeout_s + SPARE_S
    prefix = attempt_prefix(spec.uid)
    trees = [
        *((f"/hekaton/data/{slot}", tree) for slot, tree in spec.data.items()),
        *((f"/hekaton/inputs/{step}", tree) for step, tree in spec.inputs.items()),
    ]
    document: dict[str, Any] = {
        "objects": objects_url.rstrip("/"),
        "grants": {
            "snapshot": object_access.issue(spec.snapshot.key, methods=("GET",), valid_s=valid_s),
            "attempt": object_access.issue(prefix, methods=("PUT",), valid_s=valid_s),
            "logs": object_access.issue(spec.log_key, methods=("PUT",), valid_s=valid_s),
        },
        "trees": [
            {
                "grant": object_access.issue(tree.key, methods=("GET",), valid_s=valid_s),
                "target": target,
            }
            for target, tree in trees
        ],
        "paths": PATHS,
        "command": spec.command,
        "params": dict(spec.params),
        "env": environment(spec),
        "secret_names": sorted(spec.secrets),
        "timeout_s": spec.timeout_s,
        "grace_s": spec.grace_s,
    }
    if lock is not None:
        document["lock"] = lock
    return document


def environment(spec: AttemptSpec) -> dict[str, str]:
    """The contract's variables, the same as on the node, and Vertex AI's names beside them."""
    given = {
        "HOME": PATHS["home"],
        "TMPDIR": "/tmp",  # noqa: S108 - the container's own
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
        "HEKATON_RUN_ID": spec.run_uid,
        "HEKATON_OUTPUT_DIR": PATHS["output"],
        "HEKATON_METRICS": PATHS["metrics"] + "/metrics.jsonl",
        "AIP_MODEL_DIR": PATHS["output"],
        "AIP_CHECKPOINT_DIR": PATHS["output"] + "/checkpoints",
        "AIP_TENSORBOARD_LOG_DIR": PATHS["output"] + "/tensorboard",
    }
    for slot in spec.data:
        given[f"HEKATON_DATA_{variable(slot)}"] = f"/hekaton/data/{slot}"
    for step in spec.inputs:
        given[f"HEKATON_INPUT_{variable(step)}"] = f"/hekaton/inputs/{step}"
    return {**given, **param_variables(spec.params), **spec.env}


def runner_files() -> dict[str, str]:
    """The runner and the log writer that it imports, by file name."""
    import contract.logs

    return {
        "runner.py": Path(__file__).with_name("runner.py").read_text(),
        "hekaton_logs.py": Path(contract.logs.__file__).read_text(),
    }


def attempt_prefix(uid: str) -> str:
    return f"attempts/{uid}"


def read_result(uid: str) -> Result | None:
    """What the runner says, or None while it has said nothing."""
    try:
        with storage().open(f"{attempt_prefix(uid)}/result.json") as file:
            said = json.load(file)
    except NotFound:
        return None
    return Result(
        exit=_exit(said),
        usage=ResourceUsage(
            cpu_s=said.get("cpu_s", 0.0),
            max_rss_bytes=said.get("max_rss_bytes", 0),
            wall_s=max(0.0, said.get("finished_at", 0.0) - said.get("started_at", 0.0))
            if said.get("started_at")
            else 0.0,
        ),
        started_at=said.get("started_at"),
        finished_at=said.get("finished_at"),
        outputs=tuple(said.get("outputs", ())),
    )


def read_metric_lines(uid: str) -> list[str]:
    try:
        with storage().open(f"{attempt_prefix(uid)}/metrics.jsonl") as file:
            text = file.read().decode("utf-8", "replace")
    except NotFound:
        return []
    whole, _, _ = text.rpartition("\n")
    return whole.split("\n") if whole else []


def outputs(uid: str, result: Result) -> Outputs:
    """The outputs as the executor reports them; their digest is the node's for the same files."""
    files = tuple(
        OutputFile(path=f["path"], size=f["size"], sha256=f["sha256"]) for f in result.outputs
    )
    metrics, rejected = parse_metrics(read_metric_lines(uid))
    return Outputs(
        digest=digest_of(File(f.path, f.size, f.sha256, False) for f in files),
        files=files,
        metrics=metrics,
        rejected_metrics=rejected,
    )


def _exit(said: Mapping[str, Any]) -> ExitInfo:
    code, number = said.get("code"), said.get("signal")
    if said.get("reason"):
        return ExitInfo(
            code=None,
            reason=said["reason"],
            message=said.get("message", ""),
            platform=bool(said.get("platform", True)),
        )
    if said.get("timed_out"):
        return ExitInfo(code=code, reason="TimedOut", message="It ran longer than its timeout.")
    if said.get("cancelled"):
        return ExitInfo(code=code, reason="Cancelled", message="It was cancelled.")
    if number == 9:
        return ExitInfo(
            code=None,
            reason="OutOfMemory",
            message="It was killed (SIGKILL), most likely for using more memory than its limit.",
        )
    if number:
        return ExitInfo(code=None, reason="Signalled", message=f"It was ended by signal {number}.")
    if code:
        return ExitInfo(code=code, reason="Error", message=f"It exited with code {code}.")
    return ExitInfo(code=0, reason="Completed", message="It finished.")
