"""What every command starts from: configuration, output, client, and names made whole."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer

from contract import snapshot as snapshots
from contract.manifest import Manifest, parse
from contract.names import MANIFEST
from contract.problems import ManifestError
from contract.rules import check_files
from hekaton_cli import config
from hekaton_cli.client import Client
from hekaton_cli.errors import AuthError, UsageError
from hekaton_cli.output import Output
from hekaton_cli.transport import Record

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else there.")]
Project = Annotated[
    str, typer.Option("--project", "-p", help="team/project or project; else of ./hekaton.yaml.")
]
UID = re.compile(r"[0-9A-HJKMNP-TV-Za-z]{26}")


@dataclass(frozen=True)
class Globals:
    """Options before the command."""

    context: str = ""
    team: str = ""


class Session:
    def __init__(self, ctx: typer.Context, as_json: bool) -> None:
        given = ctx.find_object(Globals) or Globals()
        self.name = given.context
        self.asked_team = given.team
        self.output = Output(as_json=as_json)
        ctx.find_root().meta["output"] = self.output

    @cached_property
    def stored(self) -> config.Config:
        return config.load()

    @cached_property
    def context(self) -> config.Context:
        return self.stored.context(self.name)

    @cached_property
    def client(self) -> Client:
        if not self.context.token:
            raise AuthError(
                f"You are not signed in to {self.context.server}.",
                hint=f"Sign in: `hekaton login {self.context.server}`.",
            )
        return self.client_of(self.context.server, self.context.token)

    def client_of(self, server: str, token: str) -> Client:
        return Client(server, token, insecure=os.environ.get("HEKATON_INSECURE") == "1")

    @cached_property
    def team(self) -> str:
        """The team asked for or stored, or the only one that one is in."""
        if self.asked_team or self.context.team:
            return self.asked_team or self.context.team
        teams = [item["team"]["slug"] for item in self.client.me()["teams"]]
        if len(teams) == 1:
            return str(teams[0])
        if not teams:
            raise UsageError("You are in no team.", hint="Ask an owner to add you to theirs.")
        raise UsageError(
            f"You are in several teams: {', '.join(teams)}.",
            hint="Choose one: `hekaton --team NAME ...`, HEKATON_TEAM, or `hekaton login --team`.",
        )

    def project(self, given: str = "") -> str:
        """`team/project`, from what was given or the manifest of the current folder."""
        name = given or manifest_name(Path())
        if not name:
            raise UsageError(
                "Which project? There is no hekaton.yaml here.",
                hint="Change to the project's folder or give --project.",
            )
        return name if "/" in name else f"{self.team}/{name}"

    def run(self, reference: str, project: str = "") -> Record:
        """By uid, `42`, `#42` or `team/project#42`."""
        head, mark, tail = reference.rpartition("#")
        if not mark and UID.fullmatch(reference):
            return self.client.run(reference.upper())
        number = tail if mark else reference
        if not number.isdigit():
            raise UsageError(
                f"`{reference}` is not a run.", hint="Give its number (42), team/project#42 or uid."
            )
        return self.client.run_numbered(self.project(head or project), int(number))

    def endpoint_address(self, reference: str, project: str = "") -> str:
        """`team/project/slug`, or a uid as it is, from a slug, `project/slug` or either."""
        parts = reference.strip("/").split("/")
        if len(parts) == 3 or (len(parts) == 1 and UID.fullmatch(reference)):
            return reference.strip("/")
        if len(parts) == 2:
            return f"{self.team}/{parts[0]}/{parts[1]}"
        if not project and not manifest_name(Path()):
            return f"{self.team}/{reference}/{reference}"
        return f"{self.project(project)}/{reference}"

    def endpoint(self, reference: str, project: str = "") -> Record:
        return self.client.endpoint(self.endpoint_address(reference, project))


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """The checked manifest of a folder and its text.

    Raises:
        UsageError: it is missing or wrong.
    """
    file = folder / MANIFEST
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError as error:
        raise UsageError(
            f"There is no {MANIFEST} in {folder.resolve()}.",
            hint="`hekaton init` makes one from a template.",
            code="no_manifest",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}.") from error
    try:
        return parse(text), text
    except ManifestError as error:
        raise UsageError(
            _count(len(error.problems), file),
            problems=error.problems,
            code="bad_manifest",
            file=file,
        ) from error


def read_folder(folder: Path) -> tuple[Manifest, str, snapshots.Snapshot]:
    """The manifest, its text and the snapshot, all that can be checked without a portal."""
    manifest, text = read_manifest(folder)
    try:
        found = snapshots.scan(folder)
    except snapshots.SnapshotError as error:
        raise UsageError(
            error.message, code=error.code, hint="List what to leave out in .hekatonignore."
        ) from error
    problems = check_files(manifest, found.paths)
    if problems:
        raise UsageError(
            _count(len(problems), folder / MANIFEST),
            problems=problems,
            code="missing_file",
            file=folder / MANIFEST,
        )
    return manifest, text, found


def manifest_name(folder: Path) -> str:
    """The `name` of a manifest, checked or not; empty without one."""
    try:
        text = (folder / MANIFEST).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    found = re.search(r"^name:\s*[\"']?([a-z0-9-]+)", text, re.MULTILINE)
    return found[1] if found else ""


def _count(number: int, file: Path) -> str:
    return f"{file} has {number} problem{'s' if number > 1 else ''}."
