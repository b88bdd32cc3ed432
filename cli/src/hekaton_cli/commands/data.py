"""Datasets and their versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hekaton_cli.client import files_below
from hekaton_cli.output import ago, size
from hekaton_cli.session import Json, Project, Session

app = typer.Typer(help="Datasets: push, list.", no_args_is_help=True)


@app.command()
def push(
    ctx: typer.Context,
    dataset: Annotated[str, typer.Argument(help="Its name, such as wine/train.")],
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders for what is in them.")],
    message: Annotated[str, typer.Option("--message", "-m", help="What is new in it.")] = "",
    project: Project = "",
    as_json: Json = False,
) -> None:
    """Push a new version of a dataset; the project and dataset are made where they are not there."""
    session = Session(ctx, as_json)
    files = files_below(paths)
    owner, colon, name = dataset.rpartition(":")
    address = session.project(owner if colon else project)
    with session.output.progress("uploading") as progress:
        version = session.client.push_data(address, name, files, message=message, progress=progress)
    session.output.data(version)
    session.output.say(
        f"[bold]{escape(version['ref'])}[/]: {len(version['files'])} files, {size(version['size'])}"
    )


@app.command("list")
def list_datasets(ctx: typer.Context, project: Project = "", as_json: Json = False) -> None:
    """The datasets of a project with their latest versions."""
    session = Session(ctx, as_json)
    found = list(session.client.datasets(session.project(project)))
    session.output.data({"results": found})
    rows = []
    for dataset in found:
        latest = dataset.get("latest") or {}
        number = f"@{latest['number']}" if latest else "-"
        rows.append(
            (dataset["slug"], number, size(latest.get("size")), ago(latest.get("created_at")))
        )
    session.output.table(
        ("DATASET", "LATEST", "SIZE", "PUSHED"),
        rows,
        "No data yet: `hekaton data push NAME FOLDER`.",
    )
