"""watch."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from pgstate.cli._command import Cli, command
from pgstate.cli._exit import OK
from pgstate.cli._output import Json
from pgstate.types import Change

_SHOWN = ("at", "op", "key", "version", "value", "writer")


async def watch(
    cli: Cli,
    patterns: Annotated[
        list[str] | None, typer.Argument(metavar="PATTERN", help="'tasks/*' 'research/**'; nothing: everything.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="CURSOR", help="Go on after this point of the feed.")] = None,
    initial: Annotated[bool, typer.Option("--initial", help="First what is there now, as op entry.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="End after this many changes.")] = None,
) -> None:
    """Follows changes as they happen, until Ctrl-C (exit code 0).

    Every change comes exactly once; --json and --csv have the cursor of each, for --since.
    """
    cli.out.on_interrupt = OK
    left = limit
    async with (
        cli.connect() as state,
        state.watch(patterns or "", since=since, initial=initial) as changes,
    ):
        if cli.out.on_terminal:
            cli.out.note(f"watching {' '.join(patterns or []) or 'everything'}; Ctrl-C ends")
        with _noticing_a_closed_pipe():
            async for change in changes:
                _print(cli, change)
                if left is not None:
                    left -= 1
                    if left == 0:
                        return


@contextlib.contextmanager
def _noticing_a_closed_pipe() -> Iterator[None]:
    """BrokenPipeError as soon as the reader of stdout is gone: the next change may be long in coming."""
    try:
        descriptor = sys.stdout.fileno()
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            descriptor = -1
    except (OSError, ValueError):
        descriptor = -1
    if descriptor < 0:
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    closed = False

    def end() -> None:
        nonlocal closed
        closed = True
        loop.remove_reader(descriptor)
        task.cancel()

    # the writing end of a pipe becomes readable only when its reading end is closed
    loop.add_reader(descriptor, end)
    try:
        yield
    except asyncio.CancelledError:
        if not closed:
            raise
        raise BrokenPipeError("the reader of the output is gone") from None
    finally:
        loop.remove_reader(descriptor)


def _print(cli: Cli, change: Change) -> None:
    row = {
        "at": change.at,
        "op": change.op,
        "key": change.key,
        "version": change.version,
        "value": Json.of(change) if change.exists else None,
        "previous": Json.of(change, "previous"),
        "writer": change.writer,
        "via": change.via,
        "created": change.created,
        "cursor": change.cursor,
        "whole": change.whole,
    }
    if cli.out.on_terminal:
        # a line that stays on the screen: its time must not be relative, and columns should stand under each other
        clock = change.at.astimezone().strftime("%H:%M:%S")
        row |= {"at": clock, "op": f"{change.op:8}", "version": f"v{change.version}"}
    cli.out.line(row, _SHOWN)
    sys.stdout.flush()


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    command(app, "watch", panel="State")(watch)
