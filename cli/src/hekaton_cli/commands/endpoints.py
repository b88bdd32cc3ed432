"""Endpoints: list, deploy to, roll back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape

from hekaton_cli.errors import UsageError
from hekaton_cli.exits import Exit
from hekaton_cli.follow import watch
from hekaton_cli.output import status
from hekaton_cli.session import Json, Project, Session
from hekaton_cli.transport import Record

Endpoint = Annotated[
    str, typer.Argument(help="Its name, team/project/name or uid.", metavar="ENDPOINT")
]
ROLLED_OUT = {
    "completed": Exit.OK,
    "aborted": Exit.VERIFICATION,
    "rolled_back": Exit.CANCELLED,
}


def list_endpoints(
    ctx: typer.Context,
    project: Project = "",
    everywhere: Annotated[bool, typer.Option("--all", "-a", help="Of all your projects.")] = False,
    as_json: Json = False,
) -> None:
    """Endpoints with their readiness, traffic and address."""
    session = Session(ctx, as_json)
    filters = {} if everywhere else {"project": session.project(project)}
    found = list(session.client.endpoints(**filters))
    session.output.data({"results": found})
    rows = [
        (
            escape(f"{item['project']['path']}/{item['slug']}" if everywhere else item["slug"]),
            _readiness(item),
            _traffic(item),
            escape(item.get("url") or ""),
            item["replicas"],
        )
        for item in found
    ]
    session.output.table(
        ("ENDPOINT", "READY", "TRAFFIC", "ADDRESS", "REPLICAS"),
        rows,
        "No endpoints yet: a manifest with `deploy`, or `hekaton deploy NAME --run 42`.",
    )


def deploy(
    ctx: typer.Context,
    endpoint: Endpoint,
    run: Annotated[str, typer.Option(help="What this run made: 42, team/project#42 or uid.")] = "",
    model_version: Annotated[str, typer.Option(help="A model version's uid.")] = "",
    strategy: Annotated[str, typer.Option(help="instant, rolling, canary or blue-green.")] = "",
    steps: Annotated[str, typer.Option(help="Percents of a canary, such as 10,50,100.")] = "",
    pause: Annotated[
        float | None, typer.Option(min=0, help="Seconds that each step is watched.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay until it is over.")] = False,
    project: Project = "",
    as_json: Json = False,
) -> None:
    """Serve what a run made; the endpoint is made where it is not there."""
    session = Session(ctx, as_json)
    if bool(run) == bool(model_version):
        raise UsageError("Give one of --run and --model-version.")
    body: Record = {}
    if run:
        body["run"] = session.run(run, project)["uid"]
    if model_version:
        body["model_version"] = model_version
    if strategy or steps:
        body["strategy"] = strategy or "canary"
    if steps:
        body["steps"] = _percents(steps)
    if pause is not None:
        body["pause_s"] = pause
    target = session.client.ensure_endpoint(session.endpoint_address(endpoint, project))
    _rollout(session, target, session.client.deploy(target["uid"], body), follow)


def rollback(
    ctx: typer.Context,
    endpoint: Endpoint,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the endpoint's history.")],
    to: Annotated[str, typer.Option(help="Its number or uid; else the one before.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay until it is over.")] = False,
    project: Project = "",
    as_json: Json = False,
) -> None:
    """Go back to a revision that served before. Automation stays off until you resume it."""
    session = Session(ctx, as_json)
    target = session.endpoint(endpoint, project)
    if not yes and not as_json:
        preview = session.client.rollback_preview(target["uid"], to)
        session.output.say(f"Rolling back [bold]{escape(target['slug'])}[/]:")
        for line in _preview(preview):
            session.output.say(f"  {escape(line)}")
        typer.confirm("Roll back?", abort=True, err=True)
    _rollout(session, target, session.client.rollback(target["uid"], reason, to), follow)


def _rollout(session: Session, target: Record, made: Record, follow: bool) -> None:
    name = escape(target["slug"])
    if not follow or made.get("status") in ROLLED_OUT:
        session.output.data(made)
        session.output.say(f"rollout of [bold]{name}[/]: {status(made.get('status'))}")
        return
    said = ""
    for made in watch(
        session.client,
        f"endpoint:{target['uid']}",
        lambda uid=made["uid"]: session.client.rollout(uid),  # type: ignore[misc]
        ended=lambda found: found["status"] in ROLLED_OUT,
        on_trouble=session.output.note,
    ):
        words = f"{name}: {status(made['status'])} {escape(_step(made))}"
        if words != said:
            said = words
            session.output.note(words)
    session.output.data(made)
    raise typer.Exit(int(ROLLED_OUT[made["status"]]))


def _step(rollout: Mapping[str, Any]) -> str:
    at = f"r{rollout['revision']} {rollout['percent']}%"
    return " ".join(filter(None, (at, rollout.get("message") or "")))


def _preview(preview: Mapping[str, Any]) -> Iterator[str]:
    """What a rollback would do, in words."""
    revision = preview["revision"]
    speed = "at once: a replica is warm" if preview["instant"] else "after a cold start"
    made = f", of run #{revision['run_number']}" if revision.get("run_number") else ""
    yield f"to revision {revision['number']}{made}, {speed}"
    if preview["pauses_following"]:
        yield "it stops following the champion until you resume that"
    if preview["aborts_rollout"]:
        yield "the rollout under way is aborted"
    for name, change in (preview.get("diff") or {}).items():
        if change and name not in ("from", "to"):
            yield f"{name} changes: {json.dumps(change)[:300]}"


def _percents(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"`--steps {text}` is not a list such as 10,50,100.") from error


def _readiness(item: Mapping[str, Any]) -> str:
    """Yes, or why not."""
    if item["ready"] == "True":
        return "[green]yes[/]"
    ready: Mapping[str, Any] = next((c for c in item["conditions"] if c["type"] == "Ready"), {})
    words = ready.get("message") or ready.get("reason") or "not yet"
    return f"[yellow]{escape(words[:60])}[/]"


def _traffic(item: Mapping[str, Any]) -> str:
    return ", ".join(f"r{s['number']} {s['percent']}%" for s in item["traffic"]) or "-"
