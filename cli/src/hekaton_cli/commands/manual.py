"""Opening pages, and help topics."""

from __future__ import annotations

import webbrowser
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hekaton_cli.exits import MEANING
from hekaton_cli.reference import contract_reference
from hekaton_cli.session import Json, Project, Session, manifest_name


class Topic(StrEnum):
    EXIT_CODES = "exit-codes"
    MANIFEST = "manifest"


def open_page(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(help="A run; else the project, else the portal.")] = "",
    project: Project = "",
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Or only print the address.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Open the project, or one of its runs, in the browser."""
    session = Session(ctx, as_json)
    address = session.context.server
    if run:
        found = session.run(run, project)
        address += f"/{found['project']['path']}/runs/{found['number']}"
    elif project or manifest_name(Path()):
        address += f"/{session.project(project)}"
    session.output.data({"url": address})
    session.output.say(address)
    if browser and not as_json:
        webbrowser.open(address)


def topic(
    ctx: typer.Context,
    name: Annotated[Topic, typer.Argument(help="exit-codes or manifest.")],
    as_json: Json = False,
) -> None:
    """Longer help: what exit codes mean, what hekaton.yaml may hold."""
    session = Session(ctx, as_json)
    if name is Topic.MANIFEST:
        session.output.data({"text": contract_reference()})
        if not as_json:
            session.output.raw(contract_reference())
        return
    session.output.data({int(code): words for code, words in MEANING.items()})
    for code, words in MEANING.items():
        session.output.say(f"{int(code):>4}  {words}")
