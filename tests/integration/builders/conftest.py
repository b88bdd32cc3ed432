"""The build tool as a process, on homes that share one download cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contract import snapshot
from pipelines.builders.local.environments import remove_tree

ROOT = Path(__file__).resolve().parents[3]
SERVE = {"serve.py": "import six\n", "requirements.txt": "six==1.17.0\n"}


@dataclass(frozen=True)
class Answer:
    code: int
    result: dict[str, Any]
    log: str


@dataclass(frozen=True)
class Tool:
    """`python -m pipelines.builders.local` on one home."""

    home: Path

    def start(
        self, phase: str, request: Mapping[str, Any], **env: str
    ) -> tuple[subprocess.Popen[str], Path]:
        folder = self.home / "builds" / str(request["uid"])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "request.json").write_text(json.dumps({"home": str(self.home), **request}))
        arguments = [str(folder / "request.json"), str(folder / "result.json")]
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.builders.local", phase, *arguments],
            cwd=ROOT,
            env={**os.environ, "UV_HTTP_RETRIES": "0", **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return process, folder / "result.json"

    def run(self, phase: str, request: Mapping[str, Any], **env: str) -> Answer:
        process, result = self.start(phase, request, **env)
        log, _ = process.communicate(timeout=120)
        found = json.loads(result.read_text()) if result.exists() else {}
        return Answer(process.returncode, found, log)

    def prepare(self, files: Mapping[str, str], **changes: Any) -> Answer:
        env = changes.pop("env", {})
        return self.run("prepare", self.prepare_request(files, **changes), **env)

    def prepare_request(self, files: Mapping[str, str], **changes: Any) -> dict[str, Any]:
        path, digest = self.snapshot(files)
        return {
            "uid": "01PREPARE",
            "snapshot": str(path),
            "snapshot_digest": digest,
            "requirements": "requirements.txt",
            "python": "3.11",
            "compile_bytecode": False,
            **changes,
        }

    def package(self, files: Mapping[str, str], **changes: Any) -> Answer:
        """Prepare and package; the model is one small file."""
        env = changes.pop("env", {})
        prepared = self.prepare(files)
        assert prepared.code == 0, prepared.log
        path, digest = self.snapshot(files)
        model = self.home / "model"
        model.mkdir(exist_ok=True)
        (model / "model.json").write_text("{}")
        request = {
            "uid": "01PACKAGE",
            "environment_key": prepared.result["key"],
            "snapshot": str(path),
            "snapshot_digest": digest,
            "model": str(model),
            "model_digest": "ab" * 32,
            "serve_command": "python serve.py",
            "requirements": "requirements.txt",
            "name": "acme/wine",
            **changes,
        }
        return self.run("package", request, **env)

    def snapshot(self, files: Mapping[str, str]) -> tuple[Path, str]:
        folder = self.home / "source"
        remove_tree(folder)
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        scanned = snapshot.scan(folder)
        path = self.home / "snapshots" / f"{scanned.digest}.tar.gz"
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            snapshot.write_archive(folder, scanned, file)
        return path, scanned.digest


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture
def new_tool(tmp_path: Path, downloads: Path) -> Callable[[str], Tool]:
    def make(name: str) -> Tool:
        home = tmp_path / name
        (home / "cache").mkdir(parents=True)
        (home / "cache" / "uv").symlink_to(downloads)
        return Tool(home)

    return make


@pytest.fixture
def tool(new_tool: Callable[[str], Tool]) -> Tool:
    return new_tool("home")
