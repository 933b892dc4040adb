"""How a command is made: the options that all share, the connection, and what an error becomes.

A command is a coroutine function whose first parameter is `Cli`. The options may stand before the command's name or
after it, so each command takes them too.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

import pgstate
from pgstate import errors
from pgstate._address import driver_address
from pgstate.cli._exit import INTERRUPTED, OK, USAGE, code_of, sentence
from pgstate.cli._output import Json, Output

_PANEL = "Common options, before or after the command"
DsnOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="The database, postgresql://… or service=… (else PGSTATE_DSN, else an embedded server in .pgstate/).",
        rich_help_panel=_PANEL,
    ),
]
ListenDsnOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="For watches, if --dsn is a PgBouncer in transaction mode (else PGSTATE_LISTEN_DSN, with PGSTATE_DSN).",
        rich_help_panel=_PANEL,
    ),
]
AgentOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME", help="The agent that acts.", rich_help_panel=_PANEL)
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, a line each.", rich_help_panel=_PANEL)]
CsvOption: TypeAlias = Annotated[bool, typer.Option("--csv", help="Print CSV with a header.", rich_help_panel=_PANEL)]

_PATIENCE = 1.0  # seconds

Command: TypeAlias = Callable[..., Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Common:
    """The options that every command takes."""

    dsn: str | None = None
    agent: str | None = None
    json: bool = False
    csv: bool = False
    listen_dsn: str | None = None

    def or_else(self, before: Common) -> Common:
        """These, and what was given before the command's name where nothing was given after it."""
        return Common(
            before.dsn if self.dsn is None else self.dsn,
            self.agent or before.agent,
            self.json or before.json,
            self.csv or before.csv,
            self.listen_dsn or before.listen_dsn,
        )


class Cli:
    """What a command works with: options, output, connection."""

    def __init__(self, common: Common, subcommand: str | None) -> None:
        self.common = common
        self.subcommand = subcommand
        self.out = Output(as_json=common.json, as_csv=common.csv)

    @property
    def dsn(self) -> str | None:
        """The address given by option or environment; None means the embedded server."""
        return os.environ.get("PGSTATE_DSN") or None if self.common.dsn is None else self.common.dsn

    @contextlib.asynccontextmanager
    async def connect(self, **options: Any) -> AsyncIterator[pgstate.State]:
        """A connected client, with options of `pgstate.connect`; starting the embedded server is not done silently."""
        found = self.dsn is not None or _embedded_runs()
        async with pgstate.connect(
            self.common.dsn, listen_dsn=self.common.listen_dsn, agent=self.common.agent, **options
        ) as state:
            if not found:
                self.note_started()
            yield state

    async def address(self) -> str:
        """As a driver takes it, for what connects by itself; starting the embedded server is not done silently."""
        if self.dsn is not None:
            return driver_address(self.dsn)
        from pgstate import embedded

        found = _embedded_runs()
        dsn = (await embedded.ensure()).dsn
        if not found:
            self.note_started()
        return dsn

    def note_started(self) -> None:
        """Says that there is a server now that was not there before."""
        self.out.note(f"started an embedded PostgreSQL in {embedded_home()}, which is for development only")

    def fail(self, code: int, message: str | None = None) -> typer.Exit:
        """To be raised: ends the command with this exit code, and a sentence on stderr."""
        if message is not None:
            self.out.error(message)
        return typer.Exit(code)


def embedded_home() -> Path:
    """Where the embedded server's data is."""
    return Path(os.environ.get("PGSTATE_HOME") or ".pgstate").absolute()


def _embedded_runs() -> bool:
    from pgstate import embedded

    return embedded.status() is not None


def command(
    app: typer.Typer, name: str, *, panel: str | None = None, values: bool = False
) -> Callable[[Command], Command]:
    """Registers a coroutine function as a command. With `values`, arguments may begin with a minus, as numbers do."""

    def register(function: Command) -> Command:
        settings = {"ignore_unknown_options": True} if values else None
        app.command(name, rich_help_panel=panel, context_settings=settings)(_wrapped(function))
        return function

    return register


def group(
    parent: typer.Typer, name: str, *, panel: str | None = None
) -> tuple[typer.Typer, Callable[[Command], Command]]:
    """A command with subcommands, and the decorator for what it does without one."""
    app = typer.Typer(rich_markup_mode="rich")
    parent.add_typer(app, name=name, rich_help_panel=panel)

    def register(function: Command) -> Command:
        app.callback(invoke_without_command=True)(_wrapped(function))
        return function

    return app, register


def _wrapped(function: Command) -> Callable[..., None]:
    """The function as Typer takes it: synchronous, with the common options among its parameters."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter(option, keyword, default=default, annotation=annotation)
        for option, default, annotation in (
            ("dsn", None, DsnOption),
            ("agent", None, AgentOption),
            ("json", False, JsonOption),
            ("csv", False, CsvOption),
            ("listen_dsn", None, ListenDsnOption),
        )
    ]
    context = inspect.Parameter("ctx", keyword, annotation=typer.Context)
    parameters = [context, *(parameter.replace(kind=keyword) for parameter in own), *shared]

    def run(
        ctx: typer.Context,
        dsn: str | None,
        agent: str | None,
        json: bool,
        csv: bool,
        listen_dsn: str | None,
        **given: Any,
    ) -> None:
        common = Common(dsn, agent, json, csv, listen_dsn).or_else(ctx.obj or Common())
        ctx.obj = common
        cli = Cli(common, ctx.invoked_subcommand)
        if common.json and common.csv:
            raise cli.fail(USAGE, "--json and --csv exclude each other: give one of them")
        if cli.subcommand is None:
            _run(cli, function(cli, **given))

    run.__name__ = function.__name__
    run.__doc__ = _flowing(function.__doc__ or "")
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _flowing(text: str) -> str:
    """A docstring with one line for each paragraph: Typer keeps line breaks, and a terminal has a width of its own."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text).split("\n\n"))


def _run(cli: Cli, work: Coroutine[Any, Any, None]) -> None:
    try:
        with asyncio.Runner() as runner:
            try:
                runner.run(work)
            finally:
                runner.run(_settle())
        sys.stdout.flush()
    except KeyboardInterrupt:
        raise typer.Exit(cli.out.on_interrupt) from None
    except BrokenPipeError:
        _hang_up()
        raise typer.Exit(OK) from None
    except typer.Exit:
        raise
    except Exception as error:
        if isinstance(error, errors.Conflict) and cli.out.for_programs:
            # whoever lost a race decides anew by what is there now, which a program must not have to read in a sentence
            cli.out.line(_lost(error), ())
        raise cli.fail(code_of(error), sentence(error)) from None


def _lost(error: errors.Conflict) -> dict[str, Any]:
    """The outcome of a write that was not made, with the words that SQL has for it."""
    status = {
        errors.ClaimHeld: "held",
        errors.StaleToken: "stale",
        errors.RunHeld: "held",
        errors.RunMissing: "missing",
        errors.RunEnded: "ended",
    }.get(type(error), "conflict")
    row: dict[str, Any] = {"status": status, "key": error.key, "version": None, "value": None}
    if isinstance(error, errors.VersionConflict):
        # version 0 without a value: the key does not exist
        row["version"] = error.version
        row["value"] = None if error.current is None else Json.of(error.current)
    return row


async def _settle() -> None:
    """Lets statements that were interrupted end: asyncio complains about those that outlive the loop or fail unseen."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            await asyncio.gather(*left, return_exceptions=True)


def _hang_up() -> None:
    """Whoever read the output has enough of it. The interpreter flushes once more at its end, which must not fail."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


__all__ = [
    "INTERRUPTED",
    "AgentOption",
    "Cli",
    "Common",
    "CsvOption",
    "DsnOption",
    "JsonOption",
    "ListenDsnOption",
    "command",
    "group",
]
