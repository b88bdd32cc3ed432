"""Calling an endpoint."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from contract import names
from hekaton_cli.commands.endpoints import Endpoint
from hekaton_cli.commands.keys import address_of
from hekaton_cli.errors import AuthError, HekatonError, NotFound, PlatformError, UsageError
from hekaton_cli.exits import Exit
from hekaton_cli.session import Json, Project, Session


class AnswerError(HekatonError):
    """The model's server answered 400 or above of its own."""

    exit = Exit.MY_CODE
    code = "endpoint_answer"


def predict(
    ctx: typer.Context,
    endpoint: Endpoint,
    body: Annotated[str, typer.Argument(help="The JSON to send; `-` or nothing: stdin.")] = "-",
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Send this file's JSON.")
    ] = None,
    path: Annotated[str, typer.Option(help="The path below the endpoint.")] = "/predict",
    method: Annotated[str, typer.Option("--method", "-X")] = "POST",
    key: Annotated[
        str, typer.Option(help="An endpoint key; else HEKATON_KEY, else the stored one.")
    ] = "",
    project: Project = "",
    as_json: Json = False,
) -> None:
    """Send JSON to an endpoint and print its answer. Without a key the portal asks for you."""
    session = Session(ctx, as_json)
    content = None if method.upper() in ("GET", "HEAD", "DELETE") else _json(body, file)
    found = session.endpoint(endpoint, project)
    token = key or os.environ.get("HEKATON_KEY") or session.context.keys.get(address_of(found), "")
    where = "/" + path.lstrip("/")
    if token:
        status, headers, text = _direct(session, found["url"], where, method, content, token)
    else:
        asked: dict[str, object] = {"method": method.upper(), "path": where}
        if content is not None:
            asked["json"] = content
        answer = session.client.try_endpoint(found["uid"], asked)
        status, headers = int(answer["status"]), dict(answer.get("headers") or {})
        text = str(answer["body"])
    lower = {name.lower(): value for name, value in headers.items()}
    if not as_json and names.HEADER_REVISION in lower:
        session.output.note(f"[dim]{status} from {escape(lower[names.HEADER_REVISION])}[/]")
    if status >= 400:
        raise _refusal(status, text, found["slug"])
    session.output.raw(text)


def _direct(
    session: Session, url: str, path: str, method: str, content: object, token: str
) -> tuple[int, dict[str, str], str]:
    response = session.client.transport.answer(
        method.upper(),
        url.rstrip("/") + path,
        headers={"Authorization": f"Bearer {token}"},
        **({"json": content} if content is not None else {}),
    )
    return response.status_code, dict(response.headers), response.text


def _refusal(status: int, text: str, name: str) -> HekatonError:
    if status in (401, 403):
        return AuthError(
            f"{name} does not take this key ({status}).", hint=f"`hekaton keys create {name}`."
        )
    if status == 404:
        return NotFound(f"{name} has nothing at this path.", hint="Give --path.")
    if status in (502, 503, 504):
        return PlatformError(
            f"{name} has no replica that answers ({status}).", hint="`hekaton endpoints` says why."
        )
    return AnswerError(f"{name} answered {status}: {text[:2000]}")


def _json(body: str, file: Path | None) -> object:
    try:
        if file:
            text = file.read_text("utf-8")
        elif body == "-":
            text = sys.stdin.read()
        else:
            text = body
        return json.loads(text)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error}.") from error
    except ValueError as error:
        raise UsageError(f"What is to be sent is not JSON: {error}.") from error
