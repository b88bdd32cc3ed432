"""Following a run until it ends: live hints wake it, polling stands in while they are away.

Nothing here ends because the portal does: while it cannot be reached, one is told so and the
run is asked for again, for as long as `patience_s`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from hekaton_cli.client import Client
from hekaton_cli.errors import HekatonError, PlatformError, Unreachable
from hekaton_cli.output import Output, duration, metrics, sign, status
from hekaton_cli.transport import Record

FINISHED = frozenset({"succeeded", "failed", "crashed", "cancelled", "rejected"})
STEP_FINISHED = FINISHED | {"skipped", "cached"}
WITH_HINTS_S = 10.0  # hints may be lost; look this often all the same
WITHOUT_HINTS_S = 1.0
RECONNECT_S = 2.0
PATIENCE_S = 900.0


class Hints:
    """A thread that listens and sets a flag; `connected` says whether it can."""

    def __init__(self, client: Client, topic: str) -> None:
        self.client = client
        self.topic = topic
        self.changed = threading.Event()
        self.connected = False
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Hints:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()

    def wait(self) -> None:
        self.changed.wait(WITH_HINTS_S if self.connected else WITHOUT_HINTS_S)
        self.changed.clear()

    def _listen(self) -> None:
        while not self.stopped.is_set():
            try:
                with self.client.events(self.topic) as events:
                    self.connected = True
                    self.changed.set()  # what happened before we listened
                    for _ in events:
                        self.changed.set()
                        if self.stopped.is_set():
                            return
            except HekatonError as error:
                if not isinstance(error, Unreachable | PlatformError):
                    return
            finally:
                self.connected = False
            self.stopped.wait(RECONNECT_S)


def watch(
    client: Client,
    topic: str,
    look: Callable[[], Record],
    *,
    ended: Callable[[Record], bool],
    on_trouble: Callable[[str], None],
    patience_s: float = PATIENCE_S,
) -> Iterator[Record]:
    """What `look` gives, each time something may have changed, up to and with the end.

    Raises:
        HekatonError: the portal refuses, or was away for longer than `patience_s`.
    """
    away_since: float | None = None
    with Hints(client, topic) as hints:
        while True:
            try:
                found = look()
            except (Unreachable, PlatformError):
                now = time.monotonic()
                away_since = away_since or now
                if now - away_since > patience_s:
                    raise
                on_trouble("the portal cannot be reached; trying again")
                hints.connected = False
            else:
                if away_since is not None:
                    on_trouble("the portal is back")
                    away_since = None
                yield found
                if ended(found):
                    return
            hints.wait()


def follow_run(client: Client, uid: str, output: Output) -> tuple[Record, list[Record]]:
    """Show a run's steps as they move, until it ends: a tree for people at a terminal, a line
    for each change otherwise (on stderr, also with `--json`)."""

    def look() -> Record:
        return {"run": client.run(uid), "steps": client.steps(uid)}

    view: Tree | Lines = Tree(output) if output.live else Lines(output)
    last: Record = {}
    with view:
        for last in watch(
            client,
            f"run:{uid}",
            look,
            ended=lambda found: found["run"]["status"] in FINISHED,
            on_trouble=view.trouble,
        ):
            view.show(last["run"], last["steps"])
    return last["run"], last["steps"]


class Lines:
    """A line each time a step changes."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.seen: dict[str, tuple[str, str]] = {}
        self.said = ""

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, run: Record, steps: list[Record]) -> None:
        if run["status"] == "pending" and run.get("message"):
            self.trouble(escape(run["message"]))
        for step in steps:
            state = (step["status"], step.get("message") or "")
            if step["status"] != "pending" and self.seen.get(step["name"]) != state:
                self.seen[step["name"]] = state
                self.output.note(line(step))

    def trouble(self, words: str) -> None:
        if words != self.said:
            self.said = words
            self.output.note(f"[yellow]{words}[/]")


class Tree:
    """All steps with their state, redrawn in place."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.live = Live(console=output.err, refresh_per_second=8, transient=False)
        self.last: tuple[Record, list[Record]] = ({}, [])

    def __enter__(self) -> Tree:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def show(self, run: Record, steps: list[Record]) -> None:
        self.last = (run, steps)
        self._draw("")

    def trouble(self, words: str) -> None:
        self._draw(words)

    def _draw(self, words: str) -> None:
        run, steps = self.last
        head = f"run [bold]#{run.get('number', '')}[/] {status(run.get('status'))}"
        why = f"  [dim]{escape(run['message'])}[/]" if run.get("message") else ""
        rows = [Text.from_markup(head + why), *(Text.from_markup(line(step)) for step in steps)]
        if words:
            rows.append(Text(words, style="yellow"))
        self.live.update(Group(*rows), refresh=True)


def line(step: Record) -> str:
    """One step in rich's markup."""
    words = [f"  {sign(step['status'])} {escape(step['name'])}", status(step["status"])]
    if step.get("cached_from"):
        words.append(f"[dim]from run #{step['cached_from']}[/]")
    if step.get("duration_s") is not None:
        words.append(f"[dim]{duration(step['duration_s'])}[/]")
    attempts = step.get("attempts") or []
    if len(attempts) > 1:
        words.append(f"[dim]attempt {len(attempts)}[/]")
    if step.get("message") and step["status"] != "succeeded":
        words.append(escape(step["message"]))
    return "  ".join(words)


def summary(output: Output, client: Client, run: Record, steps: list[Record]) -> None:
    """The end of a run in words: result, metrics, and for a failure the last lines of its log."""
    took = duration(run.get("duration_s"))
    output.say(f"run [bold]#{run['number']}[/] {status(run['status'])} {took}")
    if run.get("message") and run["status"] != "succeeded":
        output.say(escape(run["message"]))
    if run.get("metrics"):
        output.say(metrics(run["metrics"]))
    for step in steps:
        if step["status"] not in ("failed", "crashed") or output.as_json:
            continue
        output.note(f"[bold]{escape(step['name'])}[/]: {escape(step.get('message') or '')}")
        for text in _last_lines(client, step):
            output.err.print(text, markup=False)
        differences(output, step.get("result") or {})


def differences(output: Output, result: Any) -> None:
    """The checks that did not pass, from a verification or the result of a verify step."""
    checks = result.get("checks") or result.get("results") or []
    for check in checks if isinstance(checks, list) else []:
        if not isinstance(check, dict) or check.get("outcome", "passed") == "passed":
            continue
        name = escape(str(check.get("name", "")))
        output.note(f"[red]✗[/] {name}: {escape(str(check.get('message') or ''))}")
        for item in check.get("differences") or ():
            output.note(
                f"    {escape(item.get('path') or item['kind'])}: {escape(item['message'])}"
            )


def _last_lines(client: Client, step: Record) -> list[str]:
    attempts = step.get("attempts") or []
    if not attempts:
        return []
    try:
        page = client.log_page(attempts[-1]["uid"], tail=20)
    except HekatonError:
        return []
    return [f"    {entry['text']}" for entry in page["lines"]]
