"""import-langgraph."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from pgstate.cli._command import Cli, command
from pgstate.cli._exit import FAILED

_PANEL = "Threads"


async def import_langgraph(
    cli: Cli,
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="ADDRESS", help="The database that LangGraph's saver and store use.", show_default=False
        ),
    ],
    prefix: Annotated[
        str, typer.Option(metavar="KEY", help="Where the threads go: the prefix of PgStateSaver.")
    ] = "threads",
    store_prefix: Annotated[
        str, typer.Option(metavar="KEY", help="Where the store's items go: the prefix of PgStateStore.")
    ] = "store",
    thread: Annotated[
        list[str] | None,
        typer.Option(metavar="THREAD_ID", help="Only this thread, and no items; may be given several times."),
    ] = None,
    vectors: Annotated[
        bool,
        typer.Option("--vectors", help="With the items' vectors, of the model that the store is set up with here."),
    ] = False,
) -> None:
    """Brings threads and items of langgraph-checkpoint-postgres over, and reads them back.

    They stay where they are. It may be stopped and run again: what is here already is passed over, and what was added
    there meanwhile comes along, as do items that were changed there later than here. Graphs then go on with
    PgStateSaver where they were, interrupted ones too. What cannot be here is named, the rest brought over all the same
    (exit code 1).
    """
    try:
        from pgstate.integrations.langgraph._import import Imported, import_threads
        from pgstate.integrations.langgraph._import_items import import_items
    except ModuleNotFoundError as error:
        raise cli.fail(FAILED, f"{error}: pip install 'pgstate[langgraph]'") from None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)

    def shown(what: str) -> Any:
        task = bar.add_task(what, total=None)
        return {
            "begin": lambda total: bar.update(task, total=total),
            "step": lambda count: bar.advance(task, count),
        }

    done, unfound = Imported(), False
    async with cli.connect() as state:
        with bar:
            done = await import_threads(source, state, prefix=prefix, thread_ids=thread or None, **shown("checkpoints"))
            if not thread:
                unfound = await import_items(
                    source, state, done, prefix=store_prefix, vectors=vectors, **shown("items")
                )
    row = {**asdict(done), "left": len(done.left)}
    cli.out.outcome(
        row,
        [*row],
        f"{done.threads} threads: {done.checkpoints} checkpoints and {done.writes} writes brought over and read back, "
        f"{done.items} items of the store; {done.present} of all were here already",
    )
    for left in done.left:
        cli.out.note(left)
    if unfound:
        cli.out.note(
            "items there have vectors, which were not brought over: here an item is found by them when it is written "
            "again, or with --vectors"
        )
    if done.left:
        raise cli.fail(FAILED, f"{len(done.left)} of what is there could not be brought over; all else was")


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    command(app, "import-langgraph", panel=_PANEL)(import_langgraph)
