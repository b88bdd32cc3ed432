from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pipelines.builders.faults import SubmissionFault
from pipelines.builders.local.interpreters import Interpreter, choose, discover

FOUND = [
    Interpreter(f"/python/{version}", version, "cpython", "linux-x86_64-glibc")
    for version in ("3.10.13", "3.11.2", "3.11.7", "3.12.1")
]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [("3.11", "3.11.7"), ("3.11.2", "3.11.2"), (">=3.10", "3.12.1"), ("<3.11", "3.10.13"),
     ("~=3.11.0", "3.11.7"), (">=3.10,<3.12", "3.11.7"), ("3", "3.12.1"), ("3.*", "3.12.1"), ("3.11.*", "3.11.7"), ("", "3.12.1")],
)  # fmt: skip
def test_the_newest_that_fits_is_chosen(wanted: str, chosen: str) -> None:
    assert choose(wanted, FOUND).version == chosen


def test_the_portals_own_wins_where_it_fits() -> None:
    assert choose(">=3.10", FOUND, preferred="3.11.2").version == "3.11.2"
    assert choose("3.12", FOUND, preferred="3.11.2").version == "3.12.1"
    assert choose("", FOUND, preferred="3.11.2").version == "3.11.2"


def test_one_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(SubmissionFault, match=r"it has 3\.10\.13, 3\.11\.2, 3\.11\.7, 3\.12\.1"):
        choose("3.13", FOUND)


def test_what_is_no_version_is_said() -> None:
    with pytest.raises(SubmissionFault, match="not a version"):
        choose("three", FOUND)


def test_this_interpreter_is_discovered_and_remembered(tmp_path: Path) -> None:
    own = ".".join(map(str, sys.version_info[:3]))
    found = {i.version: i for i in discover(tmp_path)}
    assert Path(found[own].path).exists()
    assert (tmp_path / "cache" / "interpreters.json").exists()
    assert {i.version: i for i in discover(tmp_path)} == found


def test_a_program_that_is_no_python_is_passed_over(tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "python3.99"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho no\n")
    fake.chmod(0o755)
    assert all(i.version != "3.99" for i in discover(tmp_path, [str(fake)]))


def test_a_folder_of_path_that_cannot_be_looked_into_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreadable = "/" + "x" * 300  # stat fails, for every user
    monkeypatch.setenv("PATH", f"{unreadable}/bin{os.pathsep}{os.environ['PATH']}")
    assert discover(tmp_path)
