"""harden."""

from __future__ import annotations

from typing import Annotated

import typer

from pgstate.cli._command import Cli, command
from pgstate.cli._exit import USAGE

_SHOWN = ("state", "action", "agent", "login", "note")


async def harden(
    cli: Cli,
    gateway: Annotated[
        str | None, typer.Option(metavar="LOGIN", help="One login that acts for the agents delegated to it.")
    ] = None,
    logins: Annotated[bool, typer.Option("--logins", help="A login for each agent.")] = False,
    member: Annotated[
        list[str] | None,
        typer.Option("--member", metavar="AGENT", help="An agent, made if there is none; else all that there are."),
    ] = None,
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="What the names of logins begin with.")] = "",
    tickets: Annotated[bool, typer.Option("--tickets", help="The gateway names agents by tickets alone.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the steps, and do nothing.")] = False,
) -> None:
    """Goes from one login for everything to a gateway, or to a login for each agent.

    Makes what is missing and shows each step; run again, it finds all of it there. Logins have no passwords yet.
    """
    if (gateway is None) is not logins:
        raise cli.fail(USAGE, "give --gateway LOGIN, or --logins")
    async with cli.connect() as state:
        steps = await state.harden(
            gateway, agents=member or None, logins=logins, prefix=prefix, tickets=tickets, dry_run=dry_run
        )
    cli.out.table([{column: getattr(step, column) for column in _SHOWN} for step in steps], _SHOWN)


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    command(app, "harden", panel="Access")(harden)
