"""Attempts as processes of this machine's node."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract import names, snapshot
from node.client import NodeClient, NodeError, NodeUnreachable
from node.config import runtime_folder
from node.documents import AttemptDocument, AttemptObservation, Limits, Mount, ProcessDocument
from pipelines.executors.base import (
    AttemptSpec,
    Capabilities,
    ExitInfo,
    Handle,
    Observation,
    OutputFile,
    Outputs,
    ResourceUsage,
    Tree,
)
from pipelines.executors.metrics import parse_metrics
from portal.core.errors import PermanentError, TransientError
from portal.core.storage import storage

PLATFORM_REASONS = {"Interrupted", "CannotStart"}


class LocalExecutor:
    """`home` is PORTAL_HOME, which the node shares."""

    def __init__(self, *, home: str, name: str = "local") -> None:
        self.name = name
        self.home = Path(home)
        self.node = NodeClient(runtime_folder(self.home) / "node.sock")

    def capabilities(self) -> Capabilities:
        try:
            info = self.node.info()
        except NodeError as error:
            return Capabilities(name=self.name, unavailable=str(error), limits={"gpu": 0})
        return Capabilities(
            name=self.name,
            pythons=tuple(info["pythons"]),
            isolation=info["sandbox"],
            limits={"cpu_m": info["cpu_m"], "memory_bytes": info["memory_bytes"], "gpu": 0},
        )

    def start(self, spec: AttemptSpec) -> Handle:
        """Lay out code, data and inputs as read-only mounts and hand the process to the node."""
        document = self._document(spec)
        try:
            observed = self.node.put_attempt(document)
        except NodeUnreachable as error:
            raise TransientError(str(error), reason="NodeUnreachable", retry_after=1.0) from error
        except NodeError as error:
            raise PermanentError(str(error), reason="NodeRefused") from error
        return Handle(executor=self.name, uid=spec.uid, node_id=observed.node_id)

    def observe(self, handle: Handle) -> Observation:
        try:
            found = self.node.attempt(handle.uid)
        except NodeError as error:
            return Observation(state="unknown", reason="NodeUnreachable", message=str(error))
        if found is None:
            return Observation(
                state="lost", reason="NeverStarted", message="The node does not know it.", gone=True
            )
        return _observation(found)

    def cancel(self, handle: Handle) -> None:
        try:
            self.node.cancel_attempt(handle.uid)
        except NodeUnreachable as error:
            raise TransientError(str(error), reason="NodeUnreachable", retry_after=1.0) from error

    def metrics(self, handle: Handle, after_line: int) -> tuple[Mapping[str, Any], ...]:
        return parse_metrics(self._metric_lines(handle.uid)[after_line:], after_line + 1)[0]

    def collect(self, handle: Handle) -> Outputs:
        try:
            found = self.node.attempt(handle.uid)
        except NodeError as error:
            raise TransientError(str(error), reason="NodeUnreachable", retry_after=1.0) from error
        if found is None or found.outputs_digest is None:
            raise PermanentError("The attempt left no outputs.", reason="NoOutputs")
        metrics, rejected = parse_metrics(self._metric_lines(handle.uid))
        return Outputs(
            digest=found.outputs_digest,
            files=tuple(
                OutputFile(path=f.path, size=f.size, sha256=f.sha256) for f in found.outputs
            ),
            metrics=metrics,
            rejected_metrics=rejected,
        )

    def forget(self, handle: Handle) -> None:
        try:
            self.node.delete_attempt(handle.uid)
        except NodeUnreachable as error:
            raise TransientError(str(error), reason="NodeUnreachable", retry_after=5.0) from error
        shutil.rmtree(self._scratch(handle.uid), ignore_errors=True)

    # --------------------------------------------------------------------------------------

    def _scratch(self, uid: str) -> Path:
        return self.home / "scratch" / uid

    def _metric_lines(self, uid: str) -> list[str]:
        path = self._scratch(uid) / "metrics" / names.METRICS_FILE
        try:
            text = path.read_text("utf-8", "replace")
        except FileNotFoundError:
            return []
        return [line for line in text.split("\n") if line]

    def _document(self, spec: AttemptSpec) -> AttemptDocument:
        scratch = self._scratch(spec.uid)
        output = local_path(spec.output_key)
        params = scratch / "params.json"
        for folder in (scratch / "home", scratch / "metrics", output):
            folder.mkdir(parents=True, exist_ok=True)
        params.write_text(json.dumps(dict(spec.params)))
        environment = self.home / "envs" / spec.environment.key
        mounts = [
            Mount(source=str(environment), target=names.ENV_DIR),
            Mount(source=str(unpacked_snapshot(self.home, spec.snapshot)), target=names.CODE_DIR),
            Mount(
                source=str(output),
                target=names.OUTPUT_DIR,
                writable=True,
                env_path="HEKATON_OUTPUT_DIR",
            ),
            Mount(source=str(scratch / "metrics"), target=names.METRICS_DIR, writable=True),
            Mount(source=str(params), target=names.PARAMS_FILE, env_path="HEKATON_PARAMS"),
            Mount(
                source=str(scratch / "home"), target=names.HOME_DIR, writable=True, env_path="HOME"
            ),
        ]
        for slot, tree in spec.data.items():
            target = f"{names.DATA_DIR}/{slot}"
            mounts.append(
                Mount(
                    source=str(local_path(tree.key)),
                    target=target,
                    env_path=f"HEKATON_DATA_{names.variable(slot)}",
                )
            )
        for step, tree in spec.inputs.items():
            target = f"{names.INPUTS_DIR}/{step}"
            mounts.append(
                Mount(
                    source=str(local_path(tree.key)),
                    target=target,
                    env_path=f"HEKATON_INPUT_{names.variable(step)}",
                )
            )
        env = {
            "HEKATON_RUN_ID": spec.run_uid,
            "HEKATON_METRICS": f"{names.METRICS_DIR}/{names.METRICS_FILE}",
            "AIP_MODEL_DIR": names.OUTPUT_DIR,
            "AIP_CHECKPOINT_DIR": f"{names.OUTPUT_DIR}/checkpoints",
            "AIP_TENSORBOARD_LOG_DIR": f"{names.OUTPUT_DIR}/tensorboard",
            **names.param_variables(spec.params),
            **spec.env,
        }
        return AttemptDocument(
            uid=spec.uid,
            process=ProcessDocument(
                command=spec.command,
                cwd=names.CODE_DIR,
                environment=names.ENV_DIR,
                env=env,
                secrets=dict(spec.secrets),
                mounts=tuple(mounts),
                limits=Limits(
                    cpu_m=spec.resources.cpu_m,
                    memory_bytes=spec.resources.memory_bytes,
                    timeout_s=spec.timeout_s,
                    grace_s=spec.grace_s,
                ),
            ),
            log_dir=str(local_path(spec.log_key)),
            output_dir=str(output),
            labels={"run": spec.run_uid, "step": spec.step},
        )


def local_path(key: str) -> Path:
    """Where the object store keeps `key` on this machine.

    Raises:
        PermanentError: the store is elsewhere, so this machine's processes cannot use it.
    """
    path = storage().local_path(key)
    if path is None:
        raise PermanentError(
            "The local executor needs the object store in a folder of this machine.",
            reason="StorageElsewhere",
        )
    return path


def unpacked_snapshot(home: Path, tree: Tree) -> Path:
    """`code/<digest>`: the snapshot's files, unpacked once, atomically, and read-only."""
    target = home / "code" / tree.digest
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=".partial-"))
    try:
        with storage().open(tree.key) as archive:
            snapshot.read_archive(archive, partial)
        for folder, _, files in os.walk(partial):
            for name in files:
                path = os.path.join(folder, name)
                os.chmod(path, 0o555 if os.access(path, os.X_OK) else 0o444)
            os.chmod(folder, 0o755)  # noqa: S103 - it must stay removable by its owner
        os.rename(partial, target)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if not target.exists():
            raise
    except snapshot.SnapshotError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise PermanentError(
            f"The stored snapshot is damaged: {error.message}", reason="SnapshotDamaged"
        ) from error
    return target


def _observation(found: AttemptObservation) -> Observation:
    if found.state == "lost":
        return Observation(
            state="lost",
            reason="ProcessVanished",
            message=found.message,
            node_id=found.node_id,
            gone=found.gone,
        )
    exit_info = None
    if found.exit is not None:
        exit_info = ExitInfo(
            code=found.exit.code,
            reason=found.exit.reason,
            message=found.exit.message,
            platform=found.exit.reason in PLATFORM_REASONS,
        )
    return Observation(
        state="exited" if exit_info else ("starting" if found.state == "starting" else "running"),
        message=found.message,
        node_id=found.node_id,
        started_at=found.started_at,
        finished_at=found.finished_at,
        exit=exit_info,
        usage=ResourceUsage(
            cpu_s=found.usage.cpu_s,
            max_rss_bytes=found.usage.max_rss_bytes,
            wall_s=found.usage.wall_s,
        ),
        gone=found.gone,
    )
