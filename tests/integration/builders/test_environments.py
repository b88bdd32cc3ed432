"""Environments with the real uv and the real package index."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from node import sandbox
from pipelines.builders.local import documents, prepare
from tests.integration.builders.conftest import SERVE, Tool

confines = pytest.mark.skipif(not sandbox.probe().confines, reason="bubblewrap cannot confine here")
NOWHERE = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"}


def run_python(environment: Path, code: str) -> str:
    done = subprocess.run(
        [str(environment / "bin" / "python"), "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@contextmanager
def hostile_index(folder: Path, setup: str) -> Iterator[str]:
    """The URL of a page that links one source package with this setup.py."""
    folder.mkdir()
    with tarfile.open(folder / "hekaton_hostile_probe-1.0.tar.gz", "w:gz") as tar:
        for name, text in (
            ("setup.py", setup),
            ("PKG-INFO", "Metadata-Version: 1.0\nName: hekaton-hostile-probe\nVersion: 1.0\n"),
        ):
            info = tarfile.TarInfo(f"hekaton_hostile_probe-1.0/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    (folder / "index.html").write_text(
        '<a href="hekaton_hostile_probe-1.0.tar.gz">hekaton_hostile_probe-1.0.tar.gz</a>'
    )
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/index.html"
        server.shutdown()
        thread.join()


def partials(tool: Tool) -> list[str]:
    return [path.name for path in (tool.home / "envs").glob("*.partial-*")]


def test_the_environment_runs_after_its_rename(tool: Tool) -> None:
    made = tool.prepare({**SERVE, "requirements.txt": "wheel==0.45.1\n"})
    assert made.code == 0, made.log
    environment = tool.home / "envs" / made.result["key"]
    assert run_python(environment, "import wheel; print(wheel.__version__)") == "0.45.1"
    script = subprocess.run([str(environment / "bin" / "wheel"), "version"], capture_output=True)
    assert b"0.45.1" in script.stdout
    assert partials(tool) == []


def test_its_files_are_read_only_copies(tool: Tool) -> None:
    made = tool.prepare(SERVE)
    module = next((tool.home / "envs" / made.result["key"]).glob("lib/*/site-packages/six.py"))
    assert module.stat().st_mode & 0o222 == 0
    assert module.stat().st_nlink == 1


def test_bytecode_is_made_for_a_fast_start(tool: Tool) -> None:
    made = tool.prepare(SERVE, compile_bytecode=True)
    environment = tool.home / "envs" / made.result["key"]
    assert list(environment.glob("lib/*/site-packages/__pycache__/six.*.pyc"))
    assert run_python(environment, "import six; print(six.__cached__ is not None)") == "True"


def test_no_requirements_need_no_network(tool: Tool) -> None:
    made = tool.prepare(SERVE, requirements=None, env=NOWHERE)
    assert made.code == 0, made.log
    assert made.result["packages"] == []


def test_a_lock_is_used_as_it_is(new_tool: Callable[[str], Tool]) -> None:
    lock = new_tool("one").prepare(SERVE).result["lock"]
    again = new_tool("two").prepare({**SERVE, "requirements.txt": lock})
    assert again.code == 0, again.log
    assert again.result["lock"] == lock
    assert "Resolving" not in again.log


def test_pyproject_dependencies_are_installed(tool: Tool) -> None:
    project = '[project]\nname = "x"\nversion = "0"\ndependencies = ["six==1.17.0"]\n'
    made = tool.prepare({"pyproject.toml": project}, requirements="pyproject.toml")
    assert [p["name"] for p in made.result["packages"]] == ["six"], made.log


def test_other_pythons_are_used_where_they_are_asked_for(tool: Tool) -> None:
    found = [i for i in prepare.discover(tool.home) if i.minor != "3.11"]
    if not found:
        pytest.skip("this machine has one Python only")
    made = tool.prepare(SERVE, python=found[-1].minor)
    assert made.result["python"] == found[-1].version, made.log
    environment = tool.home / "envs" / made.result["key"]
    assert run_python(environment, "import sys; print('%d.%d' % sys.version_info[:2])") == (
        found[-1].minor
    )


def test_the_remembered_lock_is_found_offline_until_it_is_old(tool: Tool) -> None:
    made = tool.prepare(SERVE)
    request = documents.PrepareRequest(home=str(tool.home), **tool.prepare_request(SERVE))
    found = prepare.find(request, max_age_s=3600)
    assert found is not None
    assert found.key == made.result["key"]
    assert prepare.find(request, max_age_s=-1) is None


# Failures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requirements", "reason", "words"),
    [
        ("six==99\n", "Unresolvable", "six==99"),
        ("six<1\nsix>=1.17\n", "Unresolvable", "six"),
        ("six>=2 <\n", "BadRequirements", "requirements.txt"),
        ("./mypkg\n", "LocalRequirement", "line 1"),
    ],
)
def test_a_wrong_requirement_is_the_submissions_fault(
    tool: Tool, requirements: str, reason: str, words: str
) -> None:
    failed = tool.prepare({**SERVE, "requirements.txt": requirements})
    assert failed.code == 1
    assert (failed.result["reason"], failed.result["platform"]) == (reason, False)
    assert words in failed.result["message"]
    assert failed.result["message"].splitlines()[0] in failed.log
    assert partials(tool) == []


def test_a_wrong_hash_is_said(tool: Tool, new_tool: Callable[[str], Tool]) -> None:
    lock = new_tool("one").prepare(SERVE).result["lock"]
    head, _, _ = lock.partition("sha256:")
    failed = tool.prepare({**SERVE, "requirements.txt": f"{head}sha256:{'0' * 64}\n"})
    assert failed.code == 1, failed.log
    assert failed.result["reason"] == "HashMismatch"


def test_a_missing_python_names_those_that_are_there(tool: Tool) -> None:
    failed = tool.prepare(SERVE, python="3.99")
    assert failed.code == 1
    assert failed.result["reason"] == "PythonNotAvailable"
    assert "3.11" in failed.result["message"]


def test_no_network_is_the_platforms_fault(tool: Tool) -> None:
    wanted = {**SERVE, "requirements.txt": "zipp\n"}
    failed = tool.prepare(wanted, env={**NOWHERE, "UV_NO_CACHE": "1"})
    assert failed.code == 2, failed.log
    assert failed.result["reason"] == "NetworkDown"


def test_a_package_without_a_wheel_is_refused_where_builds_are(tool: Tool) -> None:
    wanted = {**SERVE, "requirements.txt": "docopt==0.6.2\n"}
    failed = tool.prepare(wanted, source_builds="never")
    assert failed.code == 1, failed.log
    assert failed.result["reason"] == "NoWheel"
    assert "docopt" in failed.result["message"]


@confines
def test_a_package_without_a_wheel_is_built_confined(tool: Tool, downloads: Path) -> None:
    made = tool.prepare({**SERVE, "requirements.txt": "docopt==0.6.2\nsix==1.17.0\n"})
    assert made.code == 0, made.log
    assert "building from source" in made.log
    assert {p["name"] for p in made.result["packages"]} == {"docopt", "six"}
    assert not list(downloads.rglob("docopt*.whl"))
    assert partials(tool) == []


@confines
def test_build_code_sees_neither_the_portal_nor_its_secrets(tool: Tool, tmp_path: Path) -> None:
    """A hostile source package, from an index of its own, tells in its error what it could see."""
    (tool.home / "keys").mkdir()
    (tool.home / "keys" / "fernet.keys").write_text("the key")
    setup = (
        "import os\n"
        f"seen = os.path.exists({str(tool.home / 'keys' / 'fernet.keys')!r})\n"
        f"cache = os.path.exists({str(tool.home / 'cache' / 'uv')!r})\n"
        "secret = 'HEKATON_REGISTRY_PASSWORD' in os.environ\n"
        "raise SystemExit(f'saw key={seen} cache={cache} secret={secret}')\n"
    )
    with hostile_index(tmp_path / "index", setup) as index:
        failed = tool.prepare(
            {**SERVE, "requirements.txt": "hekaton-hostile-probe==1.0\n"},
            env={"UV_FIND_LINKS": index, "HEKATON_REGISTRY_PASSWORD": "hush"},
        )
    assert failed.code == 1, failed.log
    assert failed.result["reason"] == "BuildFailed"
    assert "saw key=False cache=False secret=False" in failed.log


# Together and interrupted ----------------------------------------------------------------


def test_builds_of_one_key_at_the_same_time_make_it_once(tool: Tool) -> None:
    requests = [tool.prepare_request(SERVE, uid=f"01CONCURRENT{n}") for n in range(4)]
    started = [tool.start("prepare", request) for request in requests]
    logs = [process.communicate(timeout=120)[0] for process, _ in started]
    assert [process.returncode for process, _ in started] == [0] * 4, logs
    assert len({path.read_text() for _, path in started}) == 1
    assert sum("+ six==1.17.0" in log for log in logs) == 1
    assert partials(tool) == []


def test_a_killed_build_leaves_nothing_half(tool: Tool) -> None:
    request = tool.prepare_request({**SERVE, "requirements.txt": "six\niniconfig\npyyaml\n"})
    envs = tool.home / "envs"
    killed = 0
    for delay in (0.0, 0.02, 0.05, 0.1):
        process, _ = tool.start("prepare", request)
        deadline = time.monotonic() + 30
        while not list(envs.glob("*.partial-*")) and time.monotonic() < deadline:
            if process.poll() is not None:
                break
            time.sleep(0.002)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        killed += process.returncode == -signal.SIGKILL
        for path in envs.iterdir():
            if len(path.name) == 64:
                assert (path / "hekaton-environment.json").exists()
    assert killed
    done = tool.run("prepare", request)
    assert done.code == 0, done.log
    assert {p["name"] for p in done.result["packages"]} == {"six", "iniconfig", "PyYAML"}
    assert partials(tool) == []


def test_what_another_keys_killed_build_left_is_removed(tool: Tool) -> None:
    orphan = tool.home / "envs" / f"{'0' * 64}.partial-01GONE"
    (orphan / "lib").mkdir(parents=True)
    tool.prepare(SERVE)
    assert not orphan.exists()
