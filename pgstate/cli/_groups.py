"""groups, access, quota, ticket."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from pgstate.cli._command import Cli, command, group
from pgstate.cli._exit import DENIED, USAGE
from pgstate.cli._input import duration, words

_PANEL = "Access"
_GROUPS = ("group", "members", "created_at")
_EFFECTIVE = ("right", "subtree", "deny", "state", "through", "until")
_QUOTAS = ("agent", "entries", "used_entries", "bytes", "used_bytes", "writes_per_minute", "used_writes")
_REASONS = ("allowed", "decides", "subtree", "deny", "through", "until", "granted_by")

GroupArgument: TypeAlias = Annotated[str, typer.Argument(metavar="GROUP", help="The group's name.")]
NameArgument: TypeAlias = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.")]


async def groups(cli: Cli) -> None:
    """Lists groups of agents; subcommands change them."""
    async with cli.connect() as state:
        found = await state.groups()
    rows = [{"group": row.name, "members": row.members, "created_at": row.created_at} for row in found]
    cli.out.table(rows, _GROUPS, empty="no groups")


async def create(cli: Cli, name: GroupArgument) -> None:
    """Registers a group: what is granted and denied to it holds for each member."""
    async with cli.connect() as state:
        await state.create_group(name)
    cli.out.outcome({"group": name}, ("group",), f"group {name} is registered")


async def drop(cli: Cli, name: GroupArgument) -> None:
    """Removes a group with what it was granted and denied."""
    async with cli.connect() as state:
        await state.drop_group(name)
    cli.out.outcome({"group": name}, ("group",), f"group {name} is dropped")


async def add(cli: Cli, name: GroupArgument, member: NameArgument) -> None:
    """Adds an agent to a group."""
    async with cli.connect() as state:
        await state.add_to_group(name, member)
    cli.out.outcome({"group": name, "agent": member}, ("group", "agent"), f"{member} is in group {name}")


async def remove(cli: Cli, name: GroupArgument, member: NameArgument) -> None:
    """Removes an agent from a group."""
    async with cli.connect() as state:
        await state.remove_from_group(name, member)
    cli.out.outcome({"group": name, "agent": member}, ("group", "agent"), f"{member} is not in group {name} any more")


async def access(
    cli: Cli,
    name: NameArgument,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="Why it may, or may not, there.")] = None,
    right: Annotated[str | None, typer.Argument(metavar="RIGHT", help="read, write or admin.")] = None,
) -> None:
    """Shows what an agent may, and where it comes from; with a key and a right, why. Exit code 5 if it may not."""
    if (key is None) is not (right is None):
        raise cli.fail(USAGE, "name a KEY and a RIGHT, or neither")
    async with cli.connect() as state:
        if key is None or right is None:
            found = await state.effective(name)
            cli.out.table([{c: getattr(row, c) for c in _EFFECTIVE} for row in found], _EFFECTIVE, empty="nothing")
            return
        reasons = await state.explain_access(name, key, right)
    cli.out.table([{c: getattr(row, c) for c in _REASONS} for row in reasons], _REASONS)
    if not reasons[0].allowed:
        raise cli.fail(DENIED)


async def quotas(cli: Cli) -> None:
    """Lists the quotas of agents, and what they have used."""
    async with cli.connect() as state:
        found = await state.quotas()
    cli.out.table([{c: getattr(row, c) for c in _QUOTAS} for row in found], _QUOTAS, empty="no quotas")


async def set_quota(
    cli: Cli,
    name: NameArgument,
    entries: Annotated[int | None, typer.Option(metavar="N", help="Entries that it may keep.")] = None,
    bytes_: Annotated[int | None, typer.Option("--bytes", metavar="N", help="Size of their values.")] = None,
    writes: Annotated[int | None, typer.Option(metavar="N", help="Versions in a minute.")] = None,
    none: Annotated[bool, typer.Option("--none", help="No quota.")] = False,
) -> None:
    """Says what an agent may keep, and how often it may write; what is not given has no limit."""
    if (entries is None and bytes_ is None and writes is None) is not none:
        raise cli.fail(USAGE, "give --entries, --bytes or --writes, or --none")
    async with cli.connect() as state:
        await state.set_quota(name, entries=entries, bytes=bytes_, writes_per_minute=writes)
    row = {"agent": name, "entries": entries, "bytes": bytes_, "writes_per_minute": writes}
    cli.out.outcome(row, ("agent",), f"agent {name} has {'no' if none else 'a'} quota")


LoginArgument: TypeAlias = Annotated[str, typer.Argument(metavar="LOGIN", help="The gateway's login.")]


async def ticket_issue(
    cli: Cli,
    login: LoginArgument,
    name: NameArgument,
    ttl: Annotated[float, typer.Option(parser=duration, metavar="DURATION", help="How long it is good for.")] = 300.0,
) -> None:
    """Prints a ticket by which a gateway names an agent."""
    async with cli.connect() as state:
        ticket = await state.issue_ticket(login, name, ttl=ttl)
    cli.out.outcome({"ticket": ticket}, ("ticket",), ticket)


async def ticket_require(
    cli: Cli,
    login: LoginArgument,
    off: Annotated[bool, typer.Option("--off", help="Take names again.")] = False,
) -> None:
    """Has a gateway name agents by tickets alone."""
    async with cli.connect() as state:
        await state.require_tickets(login, not off)
    said = "takes names too" if off else "names agents by tickets alone"
    cli.out.outcome({"login": login, "tickets": not off}, ("login", "tickets"), f"{login} {said}")


async def ticket_rotate(
    cli: Cli,
    grace: Annotated[
        float, typer.Option(parser=duration, metavar="DURATION", help="How long older tickets are taken yet.")
    ] = 3600.0,
) -> None:
    """Signs tickets with a new key from now on."""
    async with cli.connect() as state:
        await state.rotate_ticket_keys(grace)
    cli.out.outcome({"grace": grace}, ("grace",), f"tickets are signed anew; older ones are good for {words(grace)}")


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    sub, alone = group(app, "groups", panel=_PANEL)
    alone(groups)
    command(sub, "create")(create)
    command(sub, "drop")(drop)
    command(sub, "add")(add)
    command(sub, "remove")(remove)
    command(app, "access", panel=_PANEL)(access)
    sub, alone = group(app, "quota", panel=_PANEL)
    alone(quotas)
    command(sub, "set")(set_quota)
    sub = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Tickets by which gateways name agents.")
    app.add_typer(sub, name="ticket", rich_help_panel=_PANEL)
    command(sub, "issue")(ticket_issue)
    command(sub, "require")(ticket_require)
    command(sub, "rotate")(ticket_rotate)
