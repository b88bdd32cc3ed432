"""Logs: bounded on disk, true line numbers, nothing secret, readable while written."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from contract import logs
from contract.logs import Folder, LogWriter


def read_all(folder: Path) -> list[str]:
    return [line.text for line in logs.read(Folder(str(folder)), limit=100_000).lines]


def test_pages_go_on_where_they_ended(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path), chunk_bytes=100)
    writer.write("".join(f"line {i}\n" for i in range(1, 101)).encode())
    writer.flush()
    seen: list[int] = []
    after = 0
    while True:
        page = logs.read(Folder(str(tmp_path)), after=after, limit=7)
        if not page.lines:
            break
        seen += [line.number for line in page.lines]
        assert [line.text for line in page.lines] == [f"line {line.number}" for line in page.lines]
        after = page.next
    assert seen == list(range(1, 101))
    assert not page.complete
    writer.close()
    assert logs.read(Folder(str(tmp_path)), after=after).complete


def test_head_and_tail_are_kept_and_the_middle_is_counted(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path), head_bytes=1000, tail_bytes=1000, chunk_bytes=200)
    for i in range(1, 5001):
        writer.write(f"{i}\n".encode())
    writer.close()
    page = logs.read(Folder(str(tmp_path)), limit=10_000)
    numbers = [line.number for line in page.lines]
    assert [int(line.text) for line in page.lines] == numbers
    assert numbers[0] == 1
    assert numbers[-1] == 5000
    assert page.total_lines == 5000
    assert page.dropped_lines == 5000 - len(numbers)
    assert sum(p.stat().st_size for p in tmp_path.glob("*.log")) < 3000
    assert b"were not kept" in b"".join(logs.raw(Folder(str(tmp_path))))


def test_bytes_that_are_not_text_and_no_newline_at_the_end(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path))
    writer.write(b"\xff\xfe ok\nlast")
    writer.close()
    assert read_all(tmp_path) == ["\ufffd\ufffd ok", "last"]
    assert logs.tail(Folder(str(tmp_path)), 1) == ("last",)


def test_search_finds_with_true_numbers(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path))
    writer.write(b"one\ntwo ERROR\nthree\nfour error\n")
    writer.close()
    page = logs.read(Folder(str(tmp_path)), search="error")
    assert [(line.number, line.text) for line in page.lines] == [
        (2, "two ERROR"),
        (4, "four error"),
    ]


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert logs.read(Folder(str(tmp_path / "none"))).lines == ()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(20, 80))
def test_what_goes_in_comes_out_in_order(blocks: list[bytes], chunk: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        writer = LogWriter(folder, chunk_bytes=chunk, head_bytes=1 << 20)
        for block in blocks:
            writer.write(block)
        writer.close()
        assert b"".join(logs.raw(Folder(folder))) == b"".join(blocks)


@given(st.integers(1, 11))
def test_a_secret_is_masked_wherever_the_blocks_are_cut(cut: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        writer = LogWriter(folder, redact=("hunter2-hunter2",))
        text = b"before hunter2-hunter2 after"
        for start in range(0, len(text), cut):
            writer.write(text[start : start + cut])
        writer.close()
        assert b"".join(logs.raw(Folder(folder))) == b"before *** after"
