"""Submitting a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contract import params as parameters
from hekaton_cli import exits
from hekaton_cli.errors import UsageError
from hekaton_cli.follow import follow_run, summary
from hekaton_cli.output import size
from hekaton_cli.session import Json, Session, read_folder


def submit(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="The folder with hekaton.yaml.")] = Path(),
    message: Annotated[str, typer.Option("--message", "-m", help="What is new in it.")] = "",
    param: Annotated[
        list[str] | None, typer.Option("--param", "-P", help="NAME=VALUE; may be repeated.")
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Run every step, also what is unchanged.")
    ] = False,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Stay until it ends; its result is the exit code."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Upload a folder as a submission and start its run."""
    session = Session(ctx, as_json)
    manifest, _, found = read_folder(folder)
    overrides = dict(_param(item) for item in param or ())
    _, problems = parameters.merge(manifest.params, overrides)
    if problems:
        raise UsageError("A parameter does not fit.", problems=problems, code="bad_param")
    team = session.team
    with session.output.progress("uploading") as progress:
        run = session.client.submit(
            folder,
            team=team,
            snapshot=found,
            message=message,
            params=overrides,
            use_cache=not no_cache,
            progress=progress,
        )
    session.output.say(
        f"run [bold]#{run['number']}[/] of {run['project']['path']}: {len(found.files)} files, "
        f"{size(found.size)}  {session.client.server}/{run['project']['path']}/runs/{run['number']}"
    )
    if not follow:
        session.output.data(run)
        session.output.say(f"Follow it: `hekaton run show {run['number']} --follow`")
        return
    run, steps = follow_run(session.client, run["uid"], session.output)
    session.output.data({**run, "steps": steps})
    summary(session.output, session.client, run, steps)
    raise typer.Exit(int(exits.of_run(run, steps)))


def _param(item: str) -> tuple[str, object]:
    name, equals, value = item.partition("=")
    if not equals:
        raise UsageError(f"`--param {item}` is not NAME=VALUE.")
    return name, parameters.from_text(value)
