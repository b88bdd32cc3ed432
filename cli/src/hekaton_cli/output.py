"""What people and programs see. With `--json`, stdout holds JSON and nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from contract.names import MANIFEST
from contract.problems import Problem
from hekaton_cli.client import Progress as OnProgress
from hekaton_cli.errors import HekatonError

COLOURS = {
    "succeeded": "green", "passed": "green", "ready": "green", "completed": "green",
    "cached": "cyan", "running": "blue", "starting": "blue", "progressing": "blue",
    "checking": "blue", "failed": "red", "crashed": "red", "rejected": "yellow",
    "aborted": "red", "rolled_back": "yellow", "cancelled": "yellow", "skipped": "dim",
    "pending": "dim",
}  # fmt: skip
SIGNS = {
    "succeeded": "✓", "passed": "✓", "cached": "✓", "failed": "✗", "crashed": "✗",
    "rejected": "✗", "cancelled": "-", "skipped": "-", "running": "●", "starting": "●",
}  # fmt: skip


class Output:
    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.out = Console(highlight=False, soft_wrap=True)
        self.err = Console(stderr=True, highlight=False, soft_wrap=True)

    @property
    def live(self) -> bool:
        """Whether a person watches a terminal."""
        return self.err.is_terminal and not self.as_json

    def data(self, value: object) -> None:
        """The machine's answer; nothing without `--json`."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
            sys.stdout.flush()

    def say(self, text: str) -> None:
        """The people's answer, with rich's markup; nothing with `--json`."""
        if not self.as_json:
            self.out.print(text)

    def raw(self, text: str) -> None:
        """Text of others (logs, answers), never read as markup."""
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Beside the answer, on stderr; also with `--json`."""
        self.err.print(text)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], none: str) -> None:
        if self.as_json:
            return
        if not rows:
            self.out.print(none)
            return
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(column, no_wrap=True)
        for row in rows:
            table.add_row(*(str(cell) for cell in row))
        width = self.out.width if self.out.is_terminal else 400
        Console(file=self.out.file, highlight=False, width=width).print(table)

    def error(self, error: HekatonError) -> None:
        self.data(error.to_dict())
        if self.as_json:
            return
        self.err.print(f"[bold red]error:[/] {escape(error.message)}")
        self.problems(error.problems, error.file or Path(MANIFEST))
        if error.hint:
            self.err.print(f"[dim]{escape(error.hint)}[/]")

    def problems(self, problems: Sequence[Problem], file: Path) -> None:
        """Each with its place, the lines around it, and the hint."""
        lines = _lines(file)
        for problem in problems:
            where = f"{file}:{problem.line}: " if problem.line else ""
            name = f"[bold]{escape(problem.path)}[/]: " if problem.path else ""
            self.err.print(f"{escape(where)}{name}{escape(problem.message)}")
            if problem.line and problem.line <= len(lines):
                for number in range(max(1, problem.line - 1), problem.line + 1):
                    mark = "[red]>[/]" if number == problem.line else " "
                    text = escape(lines[number - 1].rstrip())
                    self.err.print(f"  {mark} {number:4d} | {text}")
            if problem.hint:
                self.err.print(f"         {escape(problem.hint)}")

    @contextmanager
    def progress(self, what: str) -> Iterator[OnProgress | None]:
        """A bar on stderr where a person watches."""
        if not self.live:
            yield None
            return
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=self.err,
            transient=True,
        )
        with bar:
            task = bar.add_task(what, total=None)

            def on_progress(sent: int, total: int) -> None:
                bar.update(task, completed=sent, total=total)

            yield on_progress


def status(word: object) -> str:
    text = str(word or "")
    colour = COLOURS.get(text)
    return f"[{colour}]{text}[/]" if colour else text


def sign(word: str) -> str:
    colour = COLOURS.get(word, "dim")
    return f"[{colour}]{SIGNS.get(word, '·')}[/]"


def duration(seconds: object) -> str:
    if not isinstance(seconds, int | float):
        return ""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"


def size(amount: object) -> str:
    if not isinstance(amount, int | float):
        return ""
    value = float(amount)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def ago(text: object, now: datetime | None = None) -> str:
    """ "3 min ago" for an ISO time."""
    if not isinstance(text, str) or not text:
        return ""
    then = datetime.fromisoformat(text.replace("Z", "+00:00"))
    passed = ((now or datetime.now(UTC)) - then).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed >= length:
            return f"{int(passed // length)} {unit} ago"
    return "just now"


def metrics(found: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{name} {value:.5g}" for name, value in sorted((found or {}).items()))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
