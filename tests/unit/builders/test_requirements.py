from __future__ import annotations

import pytest

from pipelines.builders.faults import SubmissionFault
from pipelines.builders.local.requirements import read_requirements

HASHED = "six==1.17.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"


def read(path: str | None, **files: str):
    contents = {name.replace("__", "/").replace("_", "."): text for name, text in files.items()}
    return read_requirements(path, lambda name: (contents.get(name) or "").encode() or None)


def test_no_file_requires_nothing() -> None:
    assert read(None).kind == "none"


def test_a_file_of_comments_and_options_requires_nothing() -> None:
    assert read("r.txt", r_txt="# six\n--index-url https://x/simple\n\n").kind == "none"


def test_names_without_hashes_are_to_be_resolved() -> None:
    assert read("r.txt", r_txt="six\niniconfig>=2  # why\n").kind == "requirements"


def test_a_file_with_hashes_on_every_line_is_a_lock() -> None:
    found = read("r.txt", r_txt="# made by uv\n" + HASHED)
    assert found.kind == "lock"
    assert found.text.endswith(HASHED)


def test_one_line_without_a_hash_makes_it_no_lock() -> None:
    assert read("r.txt", r_txt=HASHED + "iniconfig\n").kind == "requirements"


def test_included_files_count_too() -> None:
    found = read(
        "a/r.txt", a__r_txt="-r more.txt\n-c ../c.txt\n", a__more_txt="six\n", c_txt="six<2"
    )
    assert set(found.files) == {"a/r.txt", "a/more.txt", "c.txt"}


def test_the_digest_changes_with_an_included_file() -> None:
    one = read("r.txt", r_txt="-r m.txt\n", m_txt="six==1.16")
    two = read("r.txt", r_txt="-r m.txt\n", m_txt="six==1.17")
    assert one.digest != two.digest


def test_files_that_include_each_other_end() -> None:
    found = read("a.txt", a_txt="-r b.txt\nsix\n", b_txt="-r a.txt\n")
    assert set(found.files) == {"a.txt", "b.txt"}


@pytest.mark.parametrize(
    "line",
    [
        "-e .",
        "--editable ./pkg",
        "./pkg",
        ".",
        "../pkg",
        "/abs/pkg",
        "pkg @ file:///x/pkg",
        "pkg @ git+file:///x/pkg",
    ],
)
def test_a_local_folder_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(SubmissionFault, match=r"r\.txt, line 2") as caught:
        read("r.txt", r_txt=f"six\n{line}\n")
    assert caught.value.reason == "LocalRequirement"


def test_an_included_file_that_is_missing_is_named_with_its_line() -> None:
    with pytest.raises(SubmissionFault, match=r"r\.txt, line 2 names gone\.txt"):
        read("r.txt", r_txt="six\n-r gone.txt\n")


@pytest.mark.parametrize("path", ["../outside.txt", "a/../../outside.txt"])
def test_an_included_file_outside_the_snapshot_is_missing(path: str) -> None:
    with pytest.raises(SubmissionFault) as caught:
        read("r.txt", r_txt=f"-r {path}\n")
    assert caught.value.reason == "RequirementsMissing"


def test_a_requirements_file_from_the_network_is_refused() -> None:
    with pytest.raises(SubmissionFault, match="network"):
        read("r.txt", r_txt="-r https://example.org/r.txt\n")


def test_pyproject_dependencies_are_resolved() -> None:
    project = '[project]\nname="x"\nversion="0"\ndependencies=["six"]\n'
    assert read("pyproject.toml", pyproject_toml=project).kind == "pyproject"


def test_a_uv_lock_beside_pyproject_is_used() -> None:
    project = '[project]\nname="x"\nversion="0"\ndependencies=["six"]\n'
    found = read("uv.lock", pyproject_toml=project, uv_lock="version = 1\n")
    assert (found.kind, found.main) == ("uv-lock", "pyproject.toml")


def test_dynamic_dependencies_are_refused_in_words() -> None:
    with pytest.raises(SubmissionFault, match="dynamic"):
        read("pyproject.toml", pyproject_toml='[project]\nname="x"\ndynamic=["dependencies"]\n')


def test_a_broken_pyproject_is_refused_in_words() -> None:
    with pytest.raises(SubmissionFault, match=r"pyproject\.toml cannot be read"):
        read("pyproject.toml", pyproject_toml="[project\n")
