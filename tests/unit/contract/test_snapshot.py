"""Snapshots: the same contents give the same digest, and no archive gets out of its folder."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract import snapshot as snapshots
from contract.snapshot import Limits, SnapshotError

DEFAULT = Limits()
NAMES = st.from_regex(r"[a-z][a-z0-9_ é]{0,6}", fullmatch=True)
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join),
    st.tuples(st.binary(max_size=2000), st.booleans()),
    min_size=1,
    max_size=6,
)


def plant(folder: Path, tree: dict[str, tuple[bytes, bool]]) -> None:
    for name, (content, executable) in tree.items():
        file = folder / name
        if any(parent.is_file() for parent in file.parents) or file.is_dir():
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o755 if executable else 0o644)


def packed(*entries: tuple[tarfile.TarInfo, bytes], zipped: bool = True) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if zipped else "w") as tar:
        for entry, content in entries:
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


def refusal(source: io.BytesIO, folder: Path, limits: Limits = DEFAULT) -> str:
    with pytest.raises(SnapshotError) as caught:
        snapshots.read_archive(source, folder, limits)
    return caught.value.code


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tree=TREES)
def test_an_archive_gives_back_what_was_packed(
    tree: dict[str, tuple[bytes, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    plant(source, tree)
    found = snapshots.scan(source)
    archives = []
    for _ in range(2):
        buffer = io.BytesIO()
        snapshots.write_archive(source, found, buffer)
        archives.append(buffer.getvalue())

    assert archives[0] == archives[1]
    unpacked = snapshots.read_archive(io.BytesIO(archives[0]), target)
    assert unpacked.digest == found.digest
    assert set(unpacked.files) == set(found.files)
    assert snapshots.scan(target).digest == found.digest
    for file in found.files:
        assert (target / file.path).read_bytes() == (source / file.path).read_bytes()


def test_times_do_not_count_but_contents_names_and_the_bit_do(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("1")
    digests = [snapshots.scan(tmp_path).digest]
    os.utime(file, (1, 1))
    assert snapshots.scan(tmp_path).digest == digests[0]
    file.chmod(0o755)
    digests.append(snapshots.scan(tmp_path).digest)
    file.write_text("2")
    digests.append(snapshots.scan(tmp_path).digest)
    file.rename(tmp_path / "b.py")
    digests.append(snapshots.scan(tmp_path).digest)
    assert len(set(digests)) == 4


def test_ignored_files_stay_out(tmp_path: Path) -> None:
    plant(
        tmp_path,
        dict.fromkeys(
            ("a.py", "b.log", "data/big", ".git/HEAD", "__pycache__/a.pyc", "sub/keep.log"),
            (b"x", False),
        ),
    )
    (tmp_path / ".gitignore").write_text("*.log\n!sub/keep.log\ndata/\n")
    assert snapshots.scan(tmp_path).paths == {".gitignore", "a.py", "sub/keep.log"}

    (tmp_path / ".hekatonignore").write_text("a.py\n")
    assert "b.log" in snapshots.scan(tmp_path).paths
    assert "a.py" not in snapshots.scan(tmp_path).paths


def test_links_that_leave_the_folder_are_refused_by_scan(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "in").symlink_to(outside)

    with pytest.raises(SnapshotError, match="leads out"):
        snapshots.scan(folder)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (entry("/etc/passwd"), "path_traversal"),
        (entry("../up"), "path_traversal"),
        (entry("a/../../up"), "path_traversal"),
        (entry("a\\b"), "path_traversal"),
        (entry("a//b"), "path_traversal"),
        (entry("link", tarfile.SYMTYPE, "/etc/passwd"), "link"),
        (entry("link", tarfile.SYMTYPE, "a"), "link"),
        (entry("hard", tarfile.LNKTYPE, "/etc/passwd"), "link"),
        (entry("fifo", tarfile.FIFOTYPE), "not_a_file"),
        (entry("disk", tarfile.BLKTYPE), "not_a_file"),
        (entry("tty", tarfile.CHRTYPE), "not_a_file"),
        (entry("a" * 256), "name_too_long"),
        (entry("a\nb"), "bad_name"),
        (entry("/".join("d" * 70)), "name_too_long"),
    ],
    ids=lambda value: getattr(value, "name", value)[:12],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_malicious_entries_are_refused(
    tmp_path: Path, bad: tarfile.TarInfo, code: str, zipped: bool
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()

    assert refusal(packed((entry("ok"), b"1"), (bad, b""), zipped=zipped), folder) == code
    assert {p.name for p in tmp_path.iterdir()} == {"in"}


def test_a_name_twice_and_a_name_that_is_file_and_folder(tmp_path: Path) -> None:
    assert refusal(packed((entry("a"), b"1"), (entry("a"), b"2")), tmp_path) == "duplicate_entry"
    (tmp_path / "x").mkdir()
    both = packed((entry("a"), b"1"), (entry("a/b"), b"2"))
    assert refusal(both, tmp_path / "x") == "duplicate_entry"


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, encoding="latin-1"
    ) as tar:
        tar.addfile(entry("caf\xe9"))
    buffer.seek(0)

    assert refusal(buffer, tmp_path) == "bad_name"


def test_limits(tmp_path: Path) -> None:
    small = Limits(total_bytes=100, file_bytes=60, files=2)
    cases = {
        "file_too_large": [(entry("a"), b"x" * 61)],
        "too_large": [(entry("a"), b"x" * 60), (entry("b"), b"x" * 60)],
        "too_many_files": [(entry(n), b"") for n in "abc"],
    }
    for code, entries in cases.items():
        folder = tmp_path / code
        folder.mkdir()
        assert refusal(packed(*entries), folder, small) == code


def test_a_decompression_bomb_stops_early(tmp_path: Path) -> None:
    bomb = io.BytesIO(gzip.compress(b"\0" * (64 << 20)))
    assert refusal(bomb, tmp_path, Limits(total_bytes=1 << 20, files=10)) in {
        "too_large", "bad_archive", "empty",
    }  # fmt: skip
    big = packed((entry("a"), b"\0" * (8 << 20)))
    assert refusal(big, tmp_path, Limits(total_bytes=1 << 20)) == "too_large"
    assert not list(tmp_path.iterdir())


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cut=st.integers(0, 400), noise=st.binary(max_size=30))
def test_damaged_archives_are_refused_or_whole(
    cut: int, noise: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = packed((entry("a"), b"hello" * 50), (entry("b/c"), b"x")).getvalue()
    folder = tmp_path_factory.mktemp("in")
    try:
        found = snapshots.read_archive(io.BytesIO(whole[:cut] + noise + whole[cut:]), folder)
    except SnapshotError:
        return
    assert found.paths <= {"a", "b/c"}


def test_an_empty_folder_is_no_submission(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="no files"):
        snapshots.scan(tmp_path)
