"""import-langgraph."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pgstate.cli._command import Cli, command
from pgstate.cli._exit import FAILED

_PANEL = "Threads"


async def import_langgraph(
    cli: Cli,
    source: Annotated[
        str,
        typer.Option("--from", metavar="ADDRESS", help="The database that LangGraph's saver uses.", show_default=False),
    ],
    prefix: Annotated[
        str, typer.Option(metavar="KEY", help="Where the threads go: the prefix of PgStateSaver.")
    ] = "threads",
    thread: Annotated[
        list[str] | None, typer.Option(metavar="THREAD_ID", help="Only this thread; may be given several times.")
    ] = None,
) -> None:
    """Brings the threads of langgraph-checkpoint-postgres over, and reads each checkpoint back.

    They stay where they are. It may be stopped and run again: what is here already is passed over, and what was added
    there meanwhile comes along. Graphs then go on with PgStateSaver where they were, interrupted ones too.
    """
    try:
        from pgstate.integrations.langgraph import _import
    except ModuleNotFoundError as error:
        raise cli.fail(FAILED, f"{error}: pip install 'pgstate[langgraph]'") from None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    async with cli.connect() as state:
        with bar:
            task = bar.add_task("checkpoints", total=None)
            try:
                done = await _import.import_threads(
                    source,
                    state,
                    prefix=prefix,
                    thread_ids=thread or None,
                    begin=lambda total: bar.update(task, total=total),
                    step=lambda count: bar.advance(task, count),
                )
            except _import.NotTheSame as error:
                raise cli.fail(FAILED, str(error)) from None
    row = {name: getattr(done, name) for name in ("threads", "checkpoints", "writes", "present")}
    cli.out.outcome(
        row,
        [*row],
        f"{done.threads} threads: {done.checkpoints} checkpoints and {done.writes} writes brought over and read back, "
        f"{done.present} checkpoints were here already",
    )


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    command(app, "import-langgraph", panel=_PANEL)(import_langgraph)
