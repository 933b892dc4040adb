"""quarantine, agents suspend, agents resume."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pgstate.cli._command import Cli, command
from pgstate.cli._exit import CONFLICT
from pgstate.cli._input import NameArgument, duration, past
from pgstate.cli._output import Json
from pgstate.types import OpenTransaction, Quarantined

_PANEL = "Access"
_SHOWN = ("action", "key", "status", "version", "from_version", "to_version", "old", "new", "detail")
_IN_THE_WAY = ("held", "locked", "refused", "denied", "conflict", "skipped")


async def suspend(cli: Cli, name: NameArgument) -> None:
    """Stops an agent: nobody acts as it until `agents resume`.

    Its claims are given back. What it wrote stays: pgstate quarantine is for that. Exit code 4 if it has transactions
    under way that may still commit.
    """
    async with cli.connect() as state:
        still = await state.suspend_agent(name)
    cli.out.outcome({"agent": name}, ("agent",), f"agent {name} is suspended")
    if still:
        raise cli.fail(CONFLICT, f"it has transactions under way that may still commit: {_named(still)}")


async def resume(cli: Cli, name: NameArgument) -> None:
    """Lets a suspended agent act again."""
    async with cli.connect() as state:
        await state.resume_agent(name)
    cli.out.outcome({"agent": name}, ("agent",), f"agent {name} may act again")


async def quarantine(
    cli: Cli,
    name: NameArgument,
    since: Annotated[
        Any,
        typer.Option(parser=past, metavar="STATE", help="A cursor, a time in ISO 8601, or 2h for two hours ago."),
    ],
    rollback: Annotated[bool, typer.Option("--rollback", help="Undo what it wrote since.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --rollback, also what others wrote on top of it.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    wait: Annotated[
        float,
        typer.Option(parser=duration, metavar="DURATION", help="How long to wait for what it has under way."),
    ] = 10,
) -> None:
    """Stops an agent that has been taken over, and has what it wrote since then undone or not trusted.

    Without --rollback what it wrote is trusted as external from now on. What is left to you is listed: versions that
    derive from its writes, threads and runs in which it recorded, transactions that are still open.

    Exit code 4 if something was in the way, or is still open: see to that, and call it again.

    pgstate quarantine mallory --since 2h --rollback --dry-run
    """
    async with cli.connect() as state:
        rows = await state.quarantine(name, since, rollback=rollback, force=force, dry_run=dry_run, wait=wait)
    cli.out.table((_row(row) for row in rows), _SHOWN)
    if still := [row for row in rows if row.action == "open"]:
        raise cli.fail(CONFLICT, f"{len(still)} transactions that may still commit: end them, and call this again")
    if stopped := [row for row in rows if row.status in _IN_THE_WAY]:
        raise cli.fail(CONFLICT, f"{stopped[0].key} is {stopped[0].status}, and perhaps more: see the statuses")


def _row(row: Quarantined) -> dict[str, Any]:
    return {
        "action": row.action,
        "key": row.key,
        "status": row.status,
        "version": row.version,
        "from_version": row.from_version,
        "to_version": row.to_version,
        "old": Json(row.old) if row.from_version else None,
        "new": Json(row.new) if row.to_version else None,
        "detail": None if row.detail is None else Json(row.detail),
    }


def _named(still: list[OpenTransaction]) -> str:
    return ", ".join(
        f"{one.prepared!r} (prepared)" if one.pid is None else f"pid {one.pid} ({one.login})" for one in still
    )


def register(app: typer.Typer, agents: typer.Typer) -> None:
    """Adds the commands of this module."""
    command(agents, "suspend")(suspend)
    command(agents, "resume")(resume)
    command(app, "quarantine", panel=_PANEL)(quarantine)
