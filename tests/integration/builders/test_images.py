"""Images as whole things: the same everywhere, and runnable."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from node import sandbox
from pipelines.builders.faults import PlatformFault
from pipelines.builders.local.environments import remove_tree
from pipelines.builders.local.rootfs import open_image
from pipelines.builders.oci.layout import Layout
from tests.integration.builders.conftest import SERVE, Answer, Tool


def names(tool: Tool, answer: Answer, role: str) -> list[str]:
    digest = next(one["digest"] for one in answer.result["layers"] if one["role"] == role)
    with tarfile.open(Layout(tool.home / "images").blob(digest)) as tar:
        return [member.name for member in tar if not member.isdir()]


def test_two_homes_make_the_same_image(new_tool: Callable[[str], Tool]) -> None:
    with_bytecode = new_tool("one")
    with_bytecode.prepare(SERVE, compile_bytecode=True)
    first = with_bytecode.package(SERVE)
    second = new_tool("another-place").package(SERVE)
    assert first.code == 0, first.log
    assert first.result["digest"] == second.result["digest"]


@pytest.mark.parametrize(
    "change",
    [
        {"serve_command": "python serve.py --fast"},
        {"env": {}, "labels": {"io.hekaton.team": "acme"}},
        {"model_digest": "cd" * 32},
    ],
)
def test_what_decides_the_image_changes_its_digest(tool: Tool, change: dict[str, object]) -> None:
    assert tool.package(SERVE).result["digest"] != tool.package(SERVE, **change).result["digest"]


def test_the_layers_hold_what_they_should(tool: Tool) -> None:
    tool.prepare(SERVE, compile_bytecode=True)
    made = tool.package(SERVE)
    assert names(tool, made, "code") == ["opt/hekaton/code/requirements.txt",
                                         "opt/hekaton/code/serve.py"]  # fmt: skip
    assert names(tool, made, "model") == ["opt/hekaton/model/model.json"]
    environment = names(tool, made, "environment")
    assert "opt/hekaton/env/lib/python3.11/site-packages/six.py" in environment
    assert not [n for n in environment if "__pycache__" in n or "activate" in n]
    assert made.result["local_only"] is True


def test_nothing_of_this_machine_is_in_the_environment_layer(tool: Tool) -> None:
    made = tool.package(SERVE)
    digest = next(o["digest"] for o in made.result["layers"] if o["role"] == "environment")
    with tarfile.open(Layout(tool.home / "images").blob(digest)) as tar:
        for member in tar:
            assert str(tool.home) not in member.linkname
            if member.isreg() and not member.name.endswith(".exe"):
                file = tar.extractfile(member)
                assert file is not None
                assert str(tool.home).encode() not in file.read(), member.name


def test_a_second_image_of_the_same_lock_shares_the_environment_layer(tool: Tool) -> None:
    first = tool.package(SERVE)
    second = tool.package({**SERVE, "serve.py": "import six  # changed\n"}, uid="01SECOND")
    assert first.result["layers"][0] == second.result["layers"][0]
    assert "Writing the environment layer" not in second.log
    assert first.result["digest"] != second.result["digest"]


def test_a_damaged_snapshot_is_the_platforms_fault(tool: Tool) -> None:
    path, _ = tool.snapshot(SERVE)
    broken = tool.home / "broken.tar.gz"
    broken.write_bytes(path.read_bytes()[:-20])
    failed = tool.package(SERVE, snapshot=str(broken))
    assert failed.code == 2, failed.log
    assert failed.result["reason"] == "SnapshotUnreadable"


def test_a_snapshot_with_another_content_is_not_built(tool: Tool) -> None:
    failed = tool.package(SERVE, snapshot_digest="0" * 64)
    assert failed.code == 2, failed.log
    assert failed.result["reason"] == "SnapshotUnreadable"


def test_an_unreachable_base_image_makes_it_local_only(tool: Tool) -> None:
    made = tool.package(SERVE, bases={"*": "127.0.0.1:9/python:3.11-slim"})
    assert made.code == 0, made.log
    assert made.result["local_only"] is True
    assert "cannot be reached" in made.log


# Running from an image -------------------------------------------------------------------


def test_an_image_opens_as_folders_of_this_machine(tool: Tool) -> None:
    made = tool.package(SERVE)
    folders = open_image(tool.home, made.result["digest"])
    assert folders.command == "python serve.py"
    assert (folders.code / "serve.py").read_text() == "import six\n"
    assert folders.model is not None
    assert (folders.model / "model.json").read_text() == "{}"
    assert folders.environment.parent == tool.home / "envs"
    assert folders == open_image(tool.home, made.result["digest"])
    assert (folders.code / "serve.py").stat().st_mode & 0o222 == 0


def test_a_lost_environment_comes_back_from_the_layer(tool: Tool) -> None:
    made = tool.package(SERVE)
    remove_tree(tool.home / "envs")
    folders = open_image(tool.home, made.result["digest"])
    done = subprocess.run(
        [str(folders.environment / "bin" / "python"), "-c", "import six, sys; print(sys.prefix)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(folders.environment)


def test_an_image_that_is_not_here_is_said(tool: Tool) -> None:
    tool.package(SERVE)
    with pytest.raises(PlatformFault, match="not on this machine"):
        open_image(tool.home, "sha256:" + "0" * 64)


def test_the_image_runs_at_its_own_paths_on_a_base_with_python(tool: Tool, tmp_path: Path) -> None:
    """The layers at /opt/hekaton over a system whose Python is in /usr/bin."""
    if not Path("/usr/bin/python3.11").exists() or not sandbox.probe().confines:
        pytest.skip("needs /usr/bin/python3.11 and bubblewrap")
    files = {**SERVE, "requirements.txt": "wheel==0.45.1\n", "serve.py": "import wheel\n"}
    made = tool.package(files, python_home="/usr/bin")
    layout = Layout(tool.home / "images")
    root = tmp_path / "root"
    for layer in made.result["layers"]:
        with tarfile.open(layout.blob(layer["digest"])) as tar:
            tar.extractall(root, filter="fully_trusted")
    config = layout.read_json(layout.read_json(made.result["digest"])["config"]["digest"])["config"]
    command = [
        *[sandbox.probe().bwrap, "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib",
         "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin", "--proc", "/proc",
         "--dev", "/dev", "--bind", str(root / "opt"), "/opt", "--clearenv", "--chdir",
         config["WorkingDir"]]
    ]  # fmt: skip
    for line in config["Env"]:
        command += ["--setenv", *line.split("=", 1)]
    for wanted in ("python -c 'import wheel; print(wheel.__version__)'", "wheel version"):
        done = subprocess.run([*command, "/bin/sh", "-c", wanted], capture_output=True, text=True)
        assert "0.45.1" in done.stdout, done.stderr


def test_the_evidence_is_beside_the_result(tool: Tool) -> None:
    made = tool.package(SERVE)
    folder = tool.home / "builds" / "01PACKAGE"
    bill = json.loads((folder / made.result["sbom"]).read_text())
    assert {p["name"] for p in bill["packages"]} == {"acme/wine", "python", "six"}
    provenance = json.loads((folder / made.result["provenance"]).read_text())
    assert provenance["predicate"]["runDetails"]["metadata"]["invocationId"] == "01PACKAGE"
