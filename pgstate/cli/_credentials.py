"""credentials."""

from __future__ import annotations

from typing import Annotated

import typer

from pgstate.cli._command import Cli, command, group
from pgstate.cli._groups import NameArgument

_SHOWN = ("agent", "name", "purpose", "granted_by", "granted_at")


async def ls(cli: Cli) -> None:
    """Lists the credentials that agents may have resolved, by name, and for what; subcommands change it."""
    async with cli.connect() as state:
        found = await state.credentials()
    cli.out.table([{c: getattr(row, c) for c in _SHOWN} for row in found], _SHOWN, empty="no credentials")


async def allow(
    cli: Cli,
    name: NameArgument,
    credential: Annotated[str, typer.Argument(metavar="CREDENTIAL", help="As in $CRED{CREDENTIAL}; '*' for any.")],
    purpose: Annotated[str, typer.Argument(metavar="PURPOSE", help="For what; '*' for anything.")],
) -> None:
    """Lets an agent have a credential resolved for a purpose."""
    async with cli.connect() as state:
        await state.allow_credential(name, credential, purpose)
    row = {"agent": name, "name": credential, "purpose": purpose}
    cli.out.outcome(
        row,
        ("agent", "name", "purpose"),
        f"{name} may use {credential} for {purpose}",
    )


async def disallow(
    cli: Cli,
    name: NameArgument,
    credential: Annotated[str, typer.Argument(metavar="CREDENTIAL", help="Exactly as it was allowed.")],
    purpose: Annotated[str, typer.Argument(metavar="PURPOSE", help="Exactly as it was allowed.")],
) -> None:
    """Takes that back."""
    async with cli.connect() as state:
        await state.disallow_credential(name, credential, purpose)
    row = {"agent": name, "name": credential, "purpose": purpose}
    cli.out.outcome(
        row,
        ("agent", "name", "purpose"),
        f"{name} may no longer use {credential} for {purpose}",
    )


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    sub, alone = group(app, "credentials", panel="Access")
    alone(ls)
    command(sub, "ls")(ls)
    command(sub, "allow")(allow)
    command(sub, "disallow")(disallow)
