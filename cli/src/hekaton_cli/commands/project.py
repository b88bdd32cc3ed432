"""Beginning and checking a submission's folder."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from contract.names import DNS_LABEL
from hekaton_cli import templates
from hekaton_cli.errors import UsageError, from_answer
from hekaton_cli.session import Json, Session, read_folder


class Template(StrEnum):
    SKLEARN_TABULAR = "sklearn-tabular"
    TEXT = "text"
    LIGHTGBM = "lightgbm"
    FASTAPI = "fastapi"


def init(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Where to write it.")] = Path(),
    template: Annotated[
        Template,
        typer.Option("--template", "-t", help="sklearn-tabular, text, lightgbm or fastapi."),
    ] = Template.SKLEARN_TABULAR,
    name: Annotated[str, typer.Option(help="The project's name; else the folder's.")] = "",
    as_json: Json = False,
) -> None:
    """Write a submission that runs as it is: code, manifest, checks and (small) data."""
    session = Session(ctx, as_json)
    chosen = name or re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:30]
    if not DNS_LABEL.fullmatch(chosen):
        raise UsageError(
            f"`{chosen}` is not a project's name.",
            hint="Lower-case letters, digits and dashes, at most 30: give --name.",
        )
    found = templates.contents(str(template), chosen)
    there = [path for path in found if (folder / path).exists()]
    if there:
        raise UsageError(
            f"{folder.resolve()} has {', '.join(there[:5])} already; nothing was written.",
            hint="Choose an empty folder.",
            code="exists",
        )
    for path, content in found.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    session.output.data({"folder": str(folder.resolve()), "name": chosen, "files": list(found)})
    session.output.say(
        f"Wrote {len(found)} files: [bold]{chosen}[/], {templates.ABOUT[str(template)]}."
    )
    here = "" if folder.resolve() == Path().resolve() else f"cd {folder} && "
    session.output.say(f"Next: {escape(here)}see README.md, then `hekaton submit --follow`.")


def validate(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="The folder with hekaton.yaml.")] = Path(),
    remote: Annotated[
        bool, typer.Option("--remote", help="Ask the portal too: data, secrets, backends.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the manifest and the files without submitting: all problems at once."""
    session = Session(ctx, as_json)
    manifest, text, found = read_folder(folder)
    if remote:
        answer = session.client.validate(text, f"{session.team}/{manifest.name}")
        if not answer["valid"]:
            raise from_answer(400, {"detail": "The portal refuses it.", **answer}, "")
    session.output.data(
        {
            "valid": True,
            "name": manifest.name,
            "digest": f"sha256:{found.digest}",
            "files": len(found.files),
            "size": found.size,
            "problems": [],
        }
    )
    steps = ", ".join(step.name for step in manifest.steps)
    session.output.say(
        f"[green]valid[/]: {manifest.name}, steps {steps}; {len(found.files)} files, "
        f"{found.size} bytes, sha256:{found.digest[:12]}"
    )
