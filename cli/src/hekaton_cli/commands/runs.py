"""Runs: list, show, logs, cancel, retry."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.markup import escape

from hekaton_cli import exits
from hekaton_cli.errors import HekatonError, NotFound, PlatformError, Unreachable, UsageError
from hekaton_cli.follow import FINISHED, STEP_FINISHED, follow_run, line, summary
from hekaton_cli.output import ago, duration, metrics, status
from hekaton_cli.session import Json, Project, Session
from hekaton_cli.transport import Record

app = typer.Typer(help="One run: show, logs, cancel, retry.", no_args_is_help=True)
Run = Annotated[str, typer.Argument(help="42, team/project#42 or uid.", metavar="RUN")]
STEP_WAIT_S = 0.5


def list_runs(
    ctx: typer.Context,
    project: Project = "",
    everywhere: Annotated[bool, typer.Option("--all", "-a", help="Of all your projects.")] = False,
    state: Annotated[str, typer.Option("--status", help="Only these, with commas between.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200)] = 20,
    as_json: Json = False,
) -> None:
    """The newest runs of a project."""
    session = Session(ctx, as_json)
    filters: Record = {"status": state, "limit": limit}
    if not everywhere:
        filters["project"] = session.project(project)
    elif session.asked_team:
        filters["team"] = session.asked_team
    page = session.client.transport.get("runs", **filters)
    found = page["results"]
    session.output.data(page)
    rows = [
        (
            f"{run['project']['path']}#{run['number']}" if everywhere else f"#{run['number']}",
            status(run["status"]),
            duration(run.get("duration_s")),
            ago(run["created_at"]),
            escape(run.get("author") or ""),
            escape((run["submission"].get("message") or run.get("message") or "")[:60]),
        )
        for run in found
    ]
    session.output.table(
        ("RUN", "STATUS", "TOOK", "STARTED", "BY", "MESSAGE"),
        rows,
        "No runs yet. Start one: `hekaton submit --follow`.",
    )


@app.command()
def show(
    ctx: typer.Context,
    run: Run,
    project: Project = "",
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Stay until it ends; its result is the exit code."),
    ] = False,
    as_json: Json = False,
) -> None:
    """A run with its steps, metrics and the reason of its status."""
    session = Session(ctx, as_json)
    found = session.run(run, project)
    if follow:
        found, steps = follow_run(session.client, found["uid"], session.output)
        session.output.data({**found, "steps": steps})
        summary(session.output, session.client, found, steps)
        raise typer.Exit(int(exits.of_run(found, steps)))
    steps = session.client.steps(found["uid"])
    session.output.data({**found, "steps": steps})
    say = session.output.say
    say(f"run [bold]#{found['number']}[/] of {found['project']['path']}  {status(found['status'])}")
    if found.get("message"):
        say(f"  {escape(found['message'])}")
    say(f"  [dim]{ago(found['created_at'])} by {escape(found.get('author') or '?')}[/]")
    for step in steps:
        say(line(step))
    if found.get("params"):
        say("params   " + escape(", ".join(f"{k}={v}" for k, v in found["params"].items())))
    if found.get("data"):
        say("data     " + ", ".join(f"{d['slot']} {d['version']['ref']}" for d in found["data"]))
    if found.get("metrics"):
        say("metrics  " + metrics(found["metrics"]))


@app.command()
def logs(
    ctx: typer.Context,
    run: Run,
    step: Annotated[str, typer.Option("--step", "-s", help="Of this step; else of all.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the end.")] = False,
    tail: Annotated[int, typer.Option(min=0, help="Only the last lines of each step.")] = 0,
    project: Project = "",
    as_json: Json = False,
) -> None:
    """What a run's steps wrote. With --json, one JSON object a line."""
    session = Session(ctx, as_json)
    found = session.run(run, project)
    names = [item["name"] for item in session.client.steps(found["uid"])]
    if step and step not in names:
        raise NotFound(
            f"Run #{found['number']} has no step {step}.", hint=f"It has {', '.join(names)}."
        )
    for name in [step] if step else names:
        _print_step(session, found["uid"], name, follow=follow, tail=tail, alone=bool(step))


def _print_step(
    session: Session, uid: str, name: str, *, follow: bool, tail: int, alone: bool
) -> None:
    """All attempts of a step, in order; with `follow` also those still to come."""
    printed = 0
    while True:
        run, item = _look(session, uid, name, patient=follow)
        for attempt in item["attempts"][printed:]:
            printed += 1
            if not session.output.as_json and not alone:
                session.output.note(f"[bold]{escape(name)}[/] attempt {attempt['number']}")
            _print_attempt(session, name, attempt["uid"], follow=follow, tail=tail)
        over = item["status"] in STEP_FINISHED or run["status"] in FINISHED
        if not follow or over:
            return
        time.sleep(STEP_WAIT_S)


def _look(session: Session, uid: str, name: str, *, patient: bool) -> tuple[Record, Record]:
    while True:
        try:
            run = session.client.run(uid)
            steps = session.client.steps(uid)
            return run, next(item for item in steps if item["name"] == name)
        except (Unreachable, PlatformError):
            if not patient:
                raise
            time.sleep(STEP_WAIT_S)


def _print_attempt(session: Session, step: str, uid: str, *, follow: bool, tail: int) -> None:
    """Page through what is there; then, to follow, by server-sent events from where it is."""
    after = 0
    while True:
        page = session.client.log_page(uid, after=after, tail=tail if after == 0 else 0)
        for entry in page["lines"]:
            _print_line(session, step, entry)
        after = page["next"]
        if not page["lines"]:
            break
    if page["dropped_lines"]:
        session.output.note(f"[dim]{page['dropped_lines']} lines in the middle were dropped[/]")
    while follow and not page["complete"]:
        try:
            with session.client.follow_log(uid, after) as events:
                for event in events:
                    if event.name == "end":
                        return
                    for entry in event.data:
                        _print_line(session, step, entry)
                        after = entry["number"]
        except (Unreachable, PlatformError):
            time.sleep(STEP_WAIT_S)
        except HekatonError:
            return
        else:
            time.sleep(STEP_WAIT_S)


def _print_line(session: Session, step: str, entry: Record) -> None:
    if session.output.as_json:
        session.output.data({"step": step, **entry})
    else:
        session.output.raw(entry["text"])


@app.command()
def cancel(ctx: typer.Context, run: Run, project: Project = "", as_json: Json = False) -> None:
    """Stop a run: its processes end, then it says so."""
    session = Session(ctx, as_json)
    found = session.run(run, project)
    if found["status"] in FINISHED:
        raise UsageError(f"Run #{found['number']} is over: {found['status']}.")
    found = session.client.cancel_run(found["uid"])
    session.output.data(found)
    session.output.say(f"run #{found['number']}: {status(found['status'])}")


@app.command()
def retry(
    ctx: typer.Context,
    run: Run,
    project: Project = "",
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Stay until it ends; its result is the exit code."),
    ] = False,
    as_json: Json = False,
) -> None:
    """A new run that goes on from the failed step."""
    session = Session(ctx, as_json)
    made = session.client.retry_run(session.run(run, project)["uid"])
    session.output.say(f"run [bold]#{made['number']}[/] of {made['project']['path']}")
    if not follow:
        session.output.data(made)
        return
    made, steps = follow_run(session.client, made["uid"], session.output)
    session.output.data({**made, "steps": steps})
    summary(session.output, session.client, made, steps)
    raise typer.Exit(int(exits.of_run(made, steps)))
