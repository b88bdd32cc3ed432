"""The leaderboard of a project."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from hekaton_cli.output import ago, size
from hekaton_cli.session import Json, Project, Session


def leaderboard(
    ctx: typer.Context,
    project: Project = "",
    metric: Annotated[str, typer.Option(help="Rank by this one instead.")] = "",
    data: Annotated[str, typer.Option(help="The key of a choice of data versions.")] = "",
    as_json: Json = False,
) -> None:
    """Runs ranked by the project's metric, on the same data versions."""
    session = Session(ctx, as_json)
    board = session.client.leaderboard(session.project(project), metric=metric, data=data)
    session.output.data(board)
    rows = [
        (
            f"{entry['rank']}",
            f"{entry['value']:.5g}",
            f"#{entry['run']['number']}",
            "champion" if entry["is_champion"] else "",
            "yes" if entry["verified"] else "",
            size(entry.get("image_size")),
            escape(entry["run"].get("author") or ""),
            ago(entry["run"]["created_at"]),
        )
        for entry in board["entries"]
    ]
    columns = (
        "RANK",
        (board["metric"] or "VALUE").upper(),
        "RUN",
        "",
        "VERIFIED",
        "IMAGE",
        "BY",
        "",
    )
    session.output.table(columns, rows, "Nobody is ranked yet: no run has written the metric.")
