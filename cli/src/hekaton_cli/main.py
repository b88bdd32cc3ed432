"""The command tree, and the one place where errors become exit codes."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hekaton_cli.commands import (
    account,
    data,
    endpoints,
    keys,
    leaderboard,
    manual,
    predict,
    project,
    runs,
    submit,
    verify,
)
from hekaton_cli.errors import HekatonError
from hekaton_cli.exits import Exit
from hekaton_cli.output import Output
from hekaton_cli.session import Globals


class Commands(TyperGroup):
    """Turns errors into words and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HekatonError as error:
            output = ctx.find_root().meta.get("output") or Output(as_json=False)
            output.error(error)
            raise typer.Exit(int(error.exit)) from error
        except (KeyboardInterrupt, typer.Abort) as error:
            Output(as_json=False).err.print("interrupted")
            raise typer.Exit(int(Exit.INTERRUPTED)) from error


app = typer.Typer(
    cls=Commands,
    name="hekaton",
    help="Submit code, follow its runs, and call the models that come out of them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    ctx: typer.Context,
    context: Annotated[
        str, typer.Option(help="Use this stored context (server, token, team).")
    ] = "",
    team: Annotated[str, typer.Option(help="Use this team.")] = "",
) -> None:
    ctx.obj = Globals(context=context, team=team)


app.command()(account.login)
app.command()(account.logout)
app.command()(account.whoami)
app.command()(account.status)
app.command()(project.init)
app.command()(project.validate)
app.command()(submit.submit)
app.command("runs")(runs.list_runs)
app.add_typer(runs.app, name="run")
app.command()(leaderboard.leaderboard)
app.add_typer(data.app, name="data")
app.command("endpoints")(endpoints.list_endpoints)
app.command()(endpoints.deploy)
app.command()(endpoints.rollback)
app.add_typer(keys.app, name="keys")
app.command()(predict.predict)
app.command()(verify.verify)
app.command("open")(manual.open_page)
app.command("help")(manual.topic)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
