"""rekey."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from pgstate.cli._command import Cli, command
from pgstate.cli._exit import CONFLICT, FAILED, USAGE
from pgstate.encryption import Keys
from pgstate.types import RekeyProgress, Unopened

_VARIABLE = "PGSTATE_KEYS"
# threads and runs with payloads that do not open
_SHOWN = 20


async def rekey(
    cli: Cli,
    keys_file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help=f'{{"2026-10": "…base64…", "2026-11": "…"}}; else {_VARIABLE} has it.'),
    ] = None,
    current: Annotated[
        str | None, typer.Option(metavar="ID", help="The key to seal under; the last one unless given.")
    ] = None,
    scope: Annotated[str, typer.Option(metavar="TEXT", help="As in Keys(scope=…).")] = "",
) -> None:
    """Seals under a new key what checkpoints and runs hold under older ones, and says what is under which key then.

    Keys come from a file or the environment: a command line is seen by all. May be stopped and run again. Exit code 1
    if something is left that others have locked: run it again. Exit code 4 if all is done but what does not open, which
    is listed.

    pgstate rekey --keys-file keys.json
    """
    keys = _keys(cli, keys_file, current, scope)
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
    task = bar.add_task("", total=None)

    def shown(progress: RekeyProgress) -> None:
        bar.update(task, description=progress.stage, completed=progress.done, total=progress.total)

    async with cli.connect(encryption=keys) as state:
        with bar:
            done = await state.rekey(shown)
    rows = [{"key": key, "payloads": count, "current": key == done.current} for key, count in sorted(done.keys.items())]
    cli.out.table(rows, ("key", "payloads", "current"), empty="nothing is sealed")
    cli.out.note(f"{done.rewritten} sealed anew under {done.current}")
    told = Counter(map(_place, done.unopened_at))
    for place, count in list(told.items())[:_SHOWN]:
        cli.out.note(f"{count} of {place} do not open")
    if len(told) > _SHOWN or done.unopened > len(done.unopened_at):
        cli.out.note("and more")
    if done.left:
        raise cli.fail(
            FAILED, "some are still under other keys, and others have them locked: keep those, and run this again"
        )
    if not done.complete:
        raise cli.fail(
            CONFLICT,
            f"all that opens is under {done.current}; {done.unopened} do not open (of another scope, changed, or never "
            "sealed, which whoever may write there can do): keep their keys until you know",
        )


def _place(one: Unopened) -> str:
    thing = "run" if one.part in ("input", "result", "step", "signal") else "thread"
    where = f"{thing} {one.key}" if one.key else f"{thing}s that were deleted"
    return f"{where} (key {one.sealed_under!r})"


def _keys(cli: Cli, path: Path | None, current: str | None, scope: str) -> Keys:
    if path is not None:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise cli.fail(USAGE, f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    else:
        text = os.environ.get(_VARIABLE, "")
        if not text:
            raise cli.fail(USAGE, f"the keys come from --keys-file or {_VARIABLE}")
    return Keys.from_json(text, current, scope=scope)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "rekey", panel="Server")(rekey)
