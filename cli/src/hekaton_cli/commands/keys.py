"""Keys of an endpoint."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.markup import escape

from contract import units
from hekaton_cli import config
from hekaton_cli.commands.endpoints import Endpoint
from hekaton_cli.errors import NotFound, UsageError
from hekaton_cli.output import ago
from hekaton_cli.session import Json, Project, Session

app = typer.Typer(help="Keys of an endpoint: list, create, revoke.", no_args_is_help=True)


def address_of(endpoint: dict[str, object]) -> str:
    """`team/project/slug`, under which a key is stored."""
    project = endpoint["project"]
    path = project["path"] if isinstance(project, dict) else project
    return f"{path}/{endpoint['slug']}"


@app.command("list")
def list_keys(
    ctx: typer.Context, endpoint: Endpoint, project: Project = "", as_json: Json = False
) -> None:
    """Keys and until when they hold; the tokens themselves are stored nowhere."""
    session = Session(ctx, as_json)
    found = list(session.client.keys(session.endpoint(endpoint, project)["uid"]))
    session.output.data({"results": found})
    rows = [
        (
            key["uid"],
            escape(key["name"]),
            "revoked" if key.get("revoked_at") else key.get("expires_at") or "no end",
            ago(key["created_at"]),
            escape(key.get("created_by") or ""),
        )
        for key in found
    ]
    session.output.table(
        ("KEY", "NAME", "UNTIL", "MADE", "BY"), rows, "No keys yet: `hekaton keys create`."
    )


@app.command()
def create(
    ctx: typer.Context,
    endpoint: Endpoint,
    name: Annotated[str, typer.Option(help="Who or what uses it.")] = "command line",
    expires: Annotated[str, typer.Option(help="After this time, such as 30d.")] = "",
    store: Annotated[
        bool, typer.Option("--store/--no-store", help="Keep it for `hekaton predict`.")
    ] = True,
    project: Project = "",
    as_json: Json = False,
) -> None:
    """Make a key. It is shown this once."""
    session = Session(ctx, as_json)
    until = None
    if expires:
        try:
            until = (datetime.now(UTC) + timedelta(seconds=units.seconds(expires))).isoformat()
        except (ValueError, OverflowError) as error:
            raise UsageError(f"--expires: {error}.") from error
    found = session.endpoint(endpoint, project)
    key = session.client.create_key(found["uid"], name, until)
    current = session.name or session.stored.current
    stored = session.stored.contexts.get(current)
    if store and stored:
        keys = {**stored.keys, address_of(found): key["token"]}
        config.save(session.stored.having(current, replace(stored, keys=keys)))
    session.output.data(key)
    if not as_json:
        session.output.raw(key["token"])
        session.output.note(
            "[dim]It is shown this once. Send it as `Authorization: Bearer ...`.[/]"
        )


@app.command()
def revoke(
    ctx: typer.Context,
    endpoint: Endpoint,
    key: Annotated[str, typer.Argument(help="Its uid or name.")],
    project: Project = "",
    as_json: Json = False,
) -> None:
    """End a key; the endpoint refuses it within a second."""
    session = Session(ctx, as_json)
    found = session.endpoint(endpoint, project)
    matching = [
        item
        for item in session.client.keys(found["uid"])
        if key in (item["uid"], item["name"]) and not item.get("revoked_at")
    ]
    if not matching:
        raise NotFound(f"{found['slug']} has no live key {key}.")
    if len(matching) > 1:
        raise UsageError(f"{len(matching)} keys are named {key}.", hint="Give the uid.")
    session.client.revoke_key(matching[0]["uid"])
    session.output.data({"uid": matching[0]["uid"], "revoked": True})
    session.output.say(f"revoked {escape(matching[0]['name'])}")
