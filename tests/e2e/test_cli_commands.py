"""The `hekaton` command as a process, against a portal that speaks the API over loopback."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.api_server import TOKEN, ApiServer

ROOT = Path(__file__).parents[2]
WINE = ROOT / "examples" / "wine"


class Shell:
    def __init__(self, server: ApiServer, home: Path) -> None:
        self.server = server
        self.config = home / "config.toml"
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "NO_COLOR": "1",
            "COLUMNS": "100",
            "HEKATON_CONFIG": str(self.config),
            "PYTHONPATH": str(ROOT),
        }
        self.cwd = WINE

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "hekaton_cli.main", *arguments],
            cwd=self.cwd,
            env=self.env,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(stdin, timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.fixture
def server() -> Iterator[ApiServer]:
    made = ApiServer()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def shell(server: ApiServer, tmp_path: Path) -> Shell:
    return Shell(server, tmp_path)


@pytest.fixture
def signed_in(shell: Shell) -> Shell:
    shell.env |= {"HEKATON_SERVER": shell.server.url, "HEKATON_TOKEN": TOKEN}
    return shell


def test_login_keeps_the_token_for_its_owner_only(shell: Shell) -> None:
    done = shell.run("login", shell.server.url, "--token", "-", stdin=TOKEN + "\n")

    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(shell.config.stat().st_mode) == 0o600
    assert TOKEN not in done.stdout + done.stderr
    assert shell.run("whoami").stdout.splitlines()[-1].split() == ["acme", "owner"]
    assert shell.run("logout").returncode == 0
    assert TOKEN not in shell.config.read_text()


def test_a_wrong_token_is_not_kept(shell: Shell) -> None:
    done = shell.run("login", shell.server.url, "--token", "wrong")

    assert done.returncode == 6
    assert "This token is not valid." in done.stderr
    assert not shell.config.exists()


def test_a_token_never_goes_over_plain_http_to_another_machine(shell: Shell) -> None:
    done = shell.run("login", "http://portal.example", "--token", "secret")

    assert done.returncode == 6
    assert "not encrypted" in done.stderr


def test_not_signed_in_says_how_to(shell: Shell) -> None:
    done = shell.run("runs")

    assert done.returncode == 6
    assert "hekaton login" in done.stderr


def test_a_portal_that_is_down_is_the_platforms_fault(signed_in: Shell) -> None:
    signed_in.server.stop()

    done = signed_in.run("runs")

    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "make up" in done.stderr


def test_a_failing_read_is_tried_again(signed_in: Shell) -> None:
    unavailable = (503, {"code": "unavailable", "detail": "starting"})
    signed_in.server.portal.failures = [unavailable, unavailable]

    assert signed_in.run("whoami").returncode == 0


def test_submit_uploads_the_folder_once_with_a_key(signed_in: Shell) -> None:
    done = signed_in.run("submit", "-m", "deeper", "--param", "regularisation=2", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["number"] == 1
    (sent,) = signed_in.server.portal.sent("POST", "submissions")
    assert sent.headers["idempotency-key"]
    assert b'{"regularisation": 2}' in sent.body
    assert b"\x1f\x8b" in sent.body
    assert b"deeper" in sent.body


def test_submit_refuses_a_wrong_parameter_before_it_sends_anything(signed_in: Shell) -> None:
    done = signed_in.run("submit", "--param", "regularization=2")

    assert done.returncode == 2
    assert "Did you mean `regularisation`?" in done.stderr
    assert not signed_in.server.portal.sent("POST", "submissions")


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        ("succeeded", "user", 0),
        ("failed", "user", 3),
        ("failed", "build", 3),
        ("rejected", "gate", 4),
        ("failed", "verify", 5),
        ("failed", "deploy", 5),
        ("crashed", "user", 1),
        ("cancelled", "user", 8),
    ],
)
def test_following_a_run_gives_its_result_as_exit_code(
    signed_in: Shell, status: str, kind: str, code: int
) -> None:
    portal = signed_in.server.portal
    process = signed_in.start("submit", "--follow")
    _until(lambda: portal.sent("GET", "events"))
    portal.finish(portal.runs[0], status, kind=kind, words="the reason in words")
    out, err = process.communicate(timeout=30)

    assert process.returncode == code, err
    assert f"run #1 {status}" in out
    if status == "failed":
        assert "the reason in words" in err
        assert "[red]not markup[/]" in err


def test_following_survives_a_restart_of_the_portal(signed_in: Shell) -> None:
    server = signed_in.server
    process = signed_in.start("submit", "--follow", "--json")
    _until(lambda: server.portal.sent("GET", "events"))
    server.stop()
    assert process.stderr is not None
    _until_line(process, "cannot be reached")
    server.portal.finish(server.portal.runs[0], "succeeded")
    server.start()
    out, _ = process.communicate(timeout=30)

    assert process.returncode == 0
    assert json.loads(out)["status"] == "succeeded"


def test_interrupting_leaves_the_run_alone(signed_in: Shell) -> None:
    process = signed_in.start("submit", "--follow")
    _until(lambda: signed_in.server.portal.sent("GET", "events"))
    process.send_signal(2)
    process.communicate(timeout=30)

    assert process.returncode == 130
    assert signed_in.server.portal.runs[0]["status"] == "running"


def test_runs_are_listed_and_named_by_number(signed_in: Shell) -> None:
    run = signed_in.server.portal.start_run("first")
    signed_in.server.portal.finish(run, "succeeded")

    listed = signed_in.run("runs").stdout.splitlines()
    assert listed[0].split() == ["RUN", "STATUS", "TOOK", "STARTED", "BY", "MESSAGE"]
    assert listed[1].split()[:3] == ["#1", "succeeded", "1.5s"]
    for name in ("1", "#1", "acme/wine#1", run["uid"]):
        assert "run #1 of acme/wine" in signed_in.run("run", "show", name).stdout
    assert signed_in.run("run", "show", "7").returncode == 7


def test_logs_are_printed_as_they_are(signed_in: Shell) -> None:
    signed_in.server.portal.start_run()

    assert signed_in.run("run", "logs", "1").stdout == "loading\n[red]not markup[/]\ndone\n"
    lines = signed_in.run("run", "logs", "1", "--json").stdout.splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2, 3]
    assert signed_in.run("run", "logs", "1", "--step", "nope").returncode == 7


def test_a_refusal_by_the_portal_shows_line_and_hint(signed_in: Shell) -> None:
    problem = {"code": "no_data", "field": "data.train", "message": "It has no version.", "line": 14,
               "column": 3, "hint": "Push one."}  # fmt: skip
    signed_in.server.portal.failures = []
    signed_in.env["HEKATON_TEAM"] = "acme"
    signed_in.server.portal.failures = [
        (400, {"code": "bad_manifest", "detail": "The manifest is wrong.", "problems": [problem]})
    ]

    done = signed_in.run("submit")

    assert done.returncode == 2
    assert "hekaton.yaml:14: data.train: It has no version." in done.stderr
    assert ">   14 |   train: wine/train" in done.stderr
    assert "Push one." in done.stderr


def test_validate_shows_all_problems_of_another_folder(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "hekaton.yaml").write_text(
        "apiVersion: hekaton/v1\nname: x\nstepz: {}\nsteps:\n  a: {run: python nope.py, cpu: 1}\n"
    )

    done = shell.run("validate", str(tmp_path), "--json")

    assert done.returncode == 2
    found = json.loads(done.stdout)
    assert {p["line"] for p in found["problems"]} == {3, 5}
    assert not done.stderr
    assert "stepz: {}" in shell.run("validate", str(tmp_path)).stderr


@pytest.mark.parametrize("template", ["sklearn-tabular", "text", "lightgbm", "fastapi"])
def test_init_writes_a_valid_submission_and_never_overwrites(
    shell: Shell, tmp_path: Path, template: str
) -> None:
    folder = tmp_path / "My Model"

    assert shell.run("init", str(folder), "-t", template).returncode == 0
    checked = shell.run("validate", str(folder), "--json")
    assert json.loads(checked.stdout)["name"] == "my-model", checked.stderr
    assert "wine/" not in (folder / "hekaton.yaml").read_text()
    again = shell.run("init", str(folder), "-t", template)
    assert again.returncode == 2
    assert "nothing was written" in again.stderr


def test_push_sends_each_file_with_its_path(signed_in: Shell, tmp_path: Path) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "a.csv").write_text("1\n")
    (tmp_path / "d" / "sub" / "b.csv").write_text("2\n")
    (tmp_path / "d" / ".DS_Store").write_text("no")

    done = signed_in.run("data", "push", "wine/train", str(tmp_path / "d"))

    assert done.returncode == 0, done.stderr
    assert done.stdout == "wine/train@1: 1 files, 3 B\n"
    (sent,) = signed_in.server.portal.sent("POST", f"datasets/{'D' * 26}/versions")
    assert sent.body.count(b'name="files"') == 2
    assert b"sub/b.csv" in sent.body
    assert b"DS_Store" not in sent.body


def test_usage_errors_are_told_apart(shell: Shell) -> None:
    assert shell.run("submit", "--nope").returncode == 2
    assert shell.run("--context", "nope", "runs").returncode == 2
    assert "No run" not in shell.run("help", "exit-codes").stdout


def _until(condition, deadline_s: float = 20) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.02)


def _until_line(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"never said: {words}")
