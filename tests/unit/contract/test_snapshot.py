"""Snapshots: content decides the digest, and an archive is trusted with nothing."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from contract import snapshot
from contract.snapshot import Limits, SnapshotError


def archive_of(*entries: tarfile.TarInfo, data: bytes = b"x") -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for entry in entries:
            if entry.isfile():
                entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data) if entry.isfile() else None)
    packed.seek(0)
    return packed


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def device(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.CHRTYPE
    return entry


def test_the_digest_depends_on_content_alone(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "a.py").write_text("print()")
        (tmp_path / name / "sub" / "b.txt").write_text("b")
    os.utime(tmp_path / "two" / "a.py", (1, 1))
    one, two = (snapshot.scan(tmp_path / name) for name in ("one", "two"))
    assert one.digest == two.digest
    (tmp_path / "two" / "a.py").chmod(0o755)
    assert snapshot.scan(tmp_path / "two").digest != one.digest


def test_an_archive_gives_the_same_snapshot_and_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "er" / "f.bin").write_bytes(os.urandom(3000))
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o755)
    found = snapshot.scan(source)
    first, second = io.BytesIO(), io.BytesIO()
    snapshot.write_archive(source, found, first)
    snapshot.write_archive(source, found, second)
    assert first.getvalue() == second.getvalue()
    first.seek(0)
    (tmp_path / "out").mkdir()
    assert snapshot.read_archive(first, tmp_path / "out").digest == found.digest
    assert os.access(tmp_path / "out" / "run.sh", os.X_OK)


def test_ignored_files_stay_out(tmp_path: Path) -> None:
    (tmp_path / ".hekatonignore").write_text("*.csv\n/data/\n")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "x").write_text("")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "y").write_text("")
    (tmp_path / "z.csv").write_text("")
    (tmp_path / "keep.py").write_text("")
    assert snapshot.scan(tmp_path).paths == {".hekatonignore", "keep.py"}


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").symlink_to("/etc/passwd")
    with pytest.raises(SnapshotError) as caught:
        snapshot.scan(tmp_path)
    assert caught.value.code == "link_leaves"


@pytest.mark.parametrize(
    ("packed", "code"),
    [
        (archive_of(tarfile.TarInfo("../evil")), "path_traversal"),
        (archive_of(tarfile.TarInfo("/etc/evil")), "path_traversal"),
        (archive_of(tarfile.TarInfo("a/../../evil")), "path_traversal"),
        (archive_of(tarfile.TarInfo("a\\b")), "path_traversal"),
        (archive_of(link("a", "/etc/passwd")), "link"),
        (archive_of(link("a", "b", tarfile.LNKTYPE)), "link"),
        (archive_of(device("null")), "not_a_file"),
        (archive_of(tarfile.TarInfo("a"), tarfile.TarInfo("a")), "duplicate_entry"),
        (archive_of(tarfile.TarInfo("a"), tarfile.TarInfo("a/b")), "duplicate_entry"),
        (archive_of(tarfile.TarInfo("x" * 300)), "name_too_long"),
        (archive_of(), "empty"),
        (io.BytesIO(b"not a tar at all" * 100), "bad_archive"),
        (io.BytesIO(gzip.compress(b"x" * 5000)), "bad_archive"),
        (
            io.BytesIO(archive_of(tarfile.TarInfo("a"), data=os.urandom(5000)).getvalue()[:3000]),
            "bad_archive",
        ),
        (io.BytesIO(b""), "bad_archive"),
    ],
)
def test_bad_archives_are_refused(packed: io.BytesIO, code: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(SnapshotError) as caught:
        snapshot.read_archive(packed, folder)
    assert caught.value.code == code
    assert {p.name for p in tmp_path.iterdir()} == {"in"}


def test_a_bomb_is_stopped(tmp_path: Path) -> None:
    bomb = archive_of(tarfile.TarInfo("zeros"), data=b"\0" * 20_000_000)
    assert len(bomb.getvalue()) < 100_000
    limits = Limits(total_bytes=1_000_000, file_bytes=1_000_000, files=10)
    with pytest.raises(SnapshotError) as caught:
        snapshot.read_archive(bomb, tmp_path, limits)
    assert caught.value.code == "file_too_large"


def test_too_many_files(tmp_path: Path) -> None:
    many = archive_of(*(tarfile.TarInfo(f"f{i}") for i in range(12)))
    with pytest.raises(SnapshotError) as caught:
        snapshot.read_archive(many, tmp_path, Limits(files=10))
    assert caught.value.code == "too_many_files"
