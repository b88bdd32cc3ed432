"""Signing in and out, and what is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer
from rich.markup import escape

from hekaton_cli import config
from hekaton_cli.errors import UsageError
from hekaton_cli.session import Json, Session

STDIN = "-"


def login(
    ctx: typer.Context,
    server: Annotated[str, typer.Argument(help="The portal's address.")] = "",
    token: Annotated[
        str, typer.Option(help="An API token; asked for when absent. `-` reads stdin.")
    ] = "",
    team: Annotated[str, typer.Option(help="The team to work in.")] = "",
    context: Annotated[str, typer.Option(help="Store it under this name.")] = "",
    as_json: Json = False,
) -> None:
    """Keep a portal's address and an API token (in a file that only you can read)."""
    session = Session(ctx, as_json)
    stored = session.stored
    name = context or session.name or stored.current
    known = stored.contexts.get(name, config.Context())
    address = (server or known.server).rstrip("/")
    if "://" not in address:
        address = f"https://{address}"
    if token == STDIN:
        token = typer.get_text_stream("stdin").readline()
    elif not token:
        session.output.note(f"Make a token at {escape(address)}/settings/tokens and paste it here.")
        token = typer.prompt("Token", hide_input=True, err=True)
    me = session.client_of(address, token.strip()).me()
    teams = [item["team"]["slug"] for item in me["teams"]]
    chosen = team or session.asked_team or (known.team if known.team in teams else "")
    if chosen and chosen not in teams:
        raise UsageError(
            f"You are not in the team {chosen}.", hint=f"Yours: {', '.join(teams) or 'none'}."
        )
    chosen = chosen or (teams[0] if len(teams) == 1 else "")
    keys = known.keys if known.server == address else {}
    kept = replace(known, server=address, token=token.strip(), team=chosen, keys=keys)
    file = config.save(stored.having(name, kept))
    session.output.say(f"Signed in to {escape(address)} as [bold]{escape(me['name'])}[/].")
    if not chosen and teams:
        session.output.say(f"Choose a team: `hekaton login --team NAME` ({', '.join(teams)}).")
    session.output.data(
        {"context": name, "server": address, "name": me["name"], "team": chosen, "file": str(file)}
    )


def logout(ctx: typer.Context, as_json: Json = False) -> None:
    """Forget the token and the endpoint keys of a context."""
    session = Session(ctx, as_json)
    name = session.name or session.stored.current
    known = name in session.stored.contexts
    if known:
        config.save(session.stored.having(name, None))
    session.output.say(f"Signed out of {name}." if known else "You were not signed in.")
    session.output.data({"context": name, "signed_out": known})


def whoami(ctx: typer.Context, as_json: Json = False) -> None:
    """Who you are to the portal, and your teams and roles."""
    session = Session(ctx, as_json)
    me = session.client.me()
    session.output.data(me)
    scope = f", token scope {me['scope']}" if me.get("scope") else ""
    session.output.say(f"[bold]{escape(me['name'])}[/] at {session.context.server}{scope}")
    rows = [(item["team"]["slug"], item["role"]) for item in me["teams"]]
    session.output.table(("TEAM", "ROLE"), rows, "You are in no team.")


def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Whether the portal is reachable and which of its parts work."""
    session = Session(ctx, as_json)
    system = session.client.system()
    session.output.data(system)
    session.output.say(f"{session.context.server} answers (version {system['version']}).")
    rows = [
        (
            "[green]ok[/]"
            if part["ok"]
            else "[red]down[/]"
            if part["needed"]
            else "[yellow]down[/]",
            escape(part["name"]),
            escape(part["message"]),
        )
        for part in system["parts"]
    ]
    session.output.table(("", "PART", ""), rows, "It names no parts.")
