"""Verifying an image, or a server of one's own."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from contract import yaml_lines
from hekaton_cli import exits
from hekaton_cli.errors import HekatonError, UsageError
from hekaton_cli.exits import Exit
from hekaton_cli.follow import differences, watch
from hekaton_cli.local_checks import ask
from hekaton_cli.output import status
from hekaton_cli.session import Json, Project, Session, read_manifest
from hekaton_cli.transport import Record

FINISHED = frozenset({"passed", "failed", "crashed", "cancelled"})


def verify(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="The folder with hekaton.yaml.")] = Path(),
    image: Annotated[str, typer.Option(help="Deploy this image (sha256:...) and ask it.")] = "",
    run: Annotated[str, typer.Option(help="Deploy the image that this run made and ask it.")] = "",
    url: Annotated[
        str, typer.Option(help="Ask a server that runs already, such as one on your machine.")
    ] = "",
    project: Project = "",
    as_json: Json = False,
) -> None:
    """Ask the requests of `verify` and compare the answers; what was deployed for it is torn down."""
    session = Session(ctx, as_json)
    manifest, text = read_manifest(folder)
    if not manifest.verify or not manifest.serve:
        raise UsageError("The manifest has no `verify`.", hint="docs/contract.md shows its form.")
    if sum(map(bool, (image, run, url))) != 1:
        raise UsageError("Give one of --url, --image and --run.")
    if url:
        results = []
        for result in ask(url, manifest.verify):
            results.append(result)
            if result["outcome"] == "passed":
                session.output.say(f"[green]✓[/] {escape(result['name'])}")
            else:
                differences(session.output, {"checks": [result]})
        passed = all(result["outcome"] == "passed" for result in results)
        session.output.data({"status": "passed" if passed else "failed", "results": results})
        raise typer.Exit(int(Exit.OK if passed else Exit.VERIFICATION))
    written = yaml_lines.load(text).data
    address = session.project(project or manifest.name)
    body: Record = {
        "project": address,
        "serve": written["serve"],
        "verify": written["verify"],
        "image": image or _image_of(session, run, address),
    }
    found = _on_the_portal(session, body)
    session.output.data(found)
    session.output.say(f"{status(found['status'])} {escape(found.get('message') or '')}")
    differences(session.output, found)
    raise typer.Exit(int(exits.of_verification(found)))


def _on_the_portal(session: Session, body: Record) -> Record:
    """The finished verification. It is torn down also when we are interrupted."""
    made = session.client.start_verification(body)
    uid = made["uid"]
    try:
        said = ""
        for made in watch(
            session.client,
            f"verification:{uid}",
            lambda: session.client.verification(uid),
            ended=lambda found: found["status"] in FINISHED,
            on_trouble=session.output.note,
        ):
            if made["status"] != said:
                said = made["status"]
                session.output.note(status(said))
    except BaseException:
        with suppress(HekatonError):
            session.client.end_verification(uid)
        raise
    return made


def _image_of(session: Session, run: str, project: str) -> str:
    found = session.run(run, project)
    version = found.get("model_version")
    if not version:
        raise UsageError(f"Run #{found['number']} has made no image ({found['status']}).")
    image = session.client.transport.get(f"model-versions/{version['uid']}").get("image")
    if not image:
        raise UsageError(f"Run #{found['number']} has made no image: its manifest has no `serve`.")
    return str(image)
