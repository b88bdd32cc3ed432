from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from pipelines.builders.oci.layers import Entry, tree, write_layer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "b" / "deep").mkdir(parents=True)
    (root / "b" / "deep" / "x.txt").write_text("x")
    (root / "a.sh").write_text("#!/bin/sh\n")
    (root / "a.sh").chmod(0o700)
    (root / "link").symlink_to("a.sh")
    (root / "folder-link").symlink_to("b")
    (root / "empty").mkdir()
    return root


def members(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path, "r:gz") as tar:
        return {member.name: member for member in tar}


def test_a_layer_does_not_depend_on_times_owners_modes_or_order(
    folder: Path, tmp_path: Path
) -> None:
    first = write_layer(tree(folder, "opt/code"), tmp_path / "one")
    for path in folder.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (1, 1))
    (folder / "a.sh").chmod(0o755)
    (folder / "b" / "deep" / "x.txt").chmod(0o600)
    second = write_layer(reversed(list(tree(folder, "opt/code"))), tmp_path / "two")
    assert first == second
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_digest_and_diff_id_are_those_of_the_files(folder: Path, tmp_path: Path) -> None:
    made = write_layer(tree(folder, "opt/code"), tmp_path / "layer")
    packed = (tmp_path / "layer").read_bytes()
    assert made.size_bytes == len(packed)
    assert made.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert made.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(packed)).hexdigest()}"


def test_entries_are_normalised_and_parents_are_there(folder: Path, tmp_path: Path) -> None:
    write_layer(tree(folder, "opt/code"), tmp_path / "layer")
    found = members(tmp_path / "layer")
    assert list(found) == sorted(found)
    assert found["opt"].isdir()
    assert found["opt/code/b/deep"].mode == 0o755
    assert found["opt/code/a.sh"].mode == 0o755
    assert found["opt/code/b/deep/x.txt"].mode == 0o644
    assert found["opt/code/link"].linkname == "a.sh"
    assert found["opt/code/folder-link"].issym()
    assert {m.mtime for m in found.values()} == {0}
    assert {(m.uid, m.gid, m.uname, m.gname) for m in found.values()} == {(0, 0, "", "")}


def test_skipped_folders_are_left_out(folder: Path, tmp_path: Path) -> None:
    write_layer(tree(folder, "opt/code", skip=lambda path: path == "b"), tmp_path / "layer")
    assert not [name for name in members(tmp_path / "layer") if "/b" in name]


def test_long_and_foreign_names_survive(tmp_path: Path) -> None:
    name = "opt/" + "ä" * 60 + "/" + "x" * 180 + ".txt"
    write_layer([Entry(name, content=b"hi")], tmp_path / "layer")
    with tarfile.open(tmp_path / "layer", "r:gz") as tar:
        file = tar.extractfile(name)
        assert isinstance(file, io.BufferedReader)
        assert file.read() == b"hi"
