"""Endpoints: list, deploy to, roll back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape

from hekaton_cli.errors import Conflict, UsageError
from hekaton_cli.exits import Exit
from hekaton_cli.follow import watch
from hekaton_cli.output import ago, status
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
            ago(item["created_at"]),
        )
        for item in found
    ]
    session.output.table(
        ("ENDPOINT", "READY", "TRAFFIC", "ADDRESS", "MADE"),
        rows,
        "No endpoints yet: a manifest with `deploy`, or `hekaton deploy NAME --run 42`.",
    )


def deploy(
    ctx: typer.Context,
    endpoint: Endpoint,
    run: Annotated[str, typer.Option(help="What this run made: 42, team/project#42 or uid.")] = "",
    model_version: Annotated[str, typer.Option(help="A model version's uid.")] = "",
    image: Annotated[str, typer.Option(help="An image digest, sha256:...")] = "",
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
    if sum(map(bool, (run, model_version, image))) != 1:
        raise UsageError("Give one of --run, --model-version and --image.")
    body: Record = {}
    if run:
        body["run"] = session.run(run, project)["uid"]
    if model_version:
        body["model_version"] = model_version
    if image:
        body["image"] = image
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
    revision = _revision(session, target["uid"], to) if to else ""
    if not yes and not as_json:
        preview = session.client.rollback_preview(target["uid"], revision)
        session.output.say(f"Rolling back [bold]{escape(target['slug'])}[/]:")
        for name, value in preview.items():
            session.output.say(f"  {escape(name)}: {escape(_words(value))}")
        typer.confirm("Roll back?", abort=True, err=True)
    _rollout(session, target, session.client.rollback(target["uid"], reason, revision), follow)


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
    steps, index = rollout.get("steps") or [], rollout.get("index")
    at = f"{steps[index]} %" if isinstance(index, int) and 0 <= index < len(steps) else ""
    return " ".join(filter(None, (at, rollout.get("message") or "")))


def _revision(session: Session, endpoint: str, wanted: str) -> str:
    """The uid of a revision given by number or uid."""
    for revision in session.client.revisions(endpoint):
        if wanted in (str(revision["number"]), revision["uid"], revision.get("name")):
            return str(revision["uid"])
    raise Conflict(f"The endpoint has no revision {wanted}.", code="not_found")


def _percents(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"`--steps {text}` is not a list such as 10,50,100.") from error


def _readiness(item: Mapping[str, Any]) -> str:
    """The condition Ready; its message says why not."""
    conditions = item.get("conditions") or {}
    listed = conditions.values() if isinstance(conditions, dict) else conditions
    named = conditions.get("Ready") if isinstance(conditions, dict) else None
    ready = named or next(
        (c for c in listed if isinstance(c, dict) and c.get("type") == "Ready"), {}
    )
    if str(ready.get("status")) == "True":
        return "[green]yes[/]"
    return f"[yellow]{escape(str(ready.get('message') or ready.get('reason') or 'no'))[:60]}[/]"


def _traffic(item: Mapping[str, Any]) -> str:
    parts = []
    for share in item.get("traffic") or ():
        revision = share.get("revision")
        name = revision.get("number", "?") if isinstance(revision, dict) else revision
        parts.append(f"r{name} {share['percent']}%")
    return ", ".join(parts) or "-"


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, list):
        return "; ".join(map(_words, value)) or "none"
    return str(value)
