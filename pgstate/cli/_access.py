"""agents, grant, revoke."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from pgstate.cli import _quarantine
from pgstate.cli._command import Cli, command, group
from pgstate.cli._exit import USAGE
from pgstate.cli._input import KeyArgument, NameArgument, duration

_PANEL = "Access"
_RIGHTS = ("read", "write", "admin")
_AGENTS = ("agent", "login", "gateways", "all_rights", "created_at")
_GRANTS = ("agent", "subtree", "right", "granted_by", "granted_at", "deny", "until")

LoginArgument: TypeAlias = Annotated[str, typer.Argument(metavar="LOGIN", help="A database role that logs in.")]
ReuseOption: TypeAlias = Annotated[
    bool, typer.Option("--reuse", help="Also the name of one that was dropped, with the memory and history it left.")
]
DenyOption: TypeAlias = Annotated[bool, typer.Option("--deny", help="That it may not, whatever is granted.")]

TrustArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="TRUST", help="external, agent, verified or operator.")
]


async def agents(cli: Cli) -> None:
    """Lists agents; subcommands register and remove them and their gateways."""
    async with cli.connect() as state:
        found = await state.agents()
    rows = [
        {
            "agent": agent.name,
            "login": agent.login,
            "gateways": agent.gateways,
            "all_rights": agent.root,
            "created_at": agent.created_at,
            "trust": agent.trust,
            "suspended_at": agent.suspended_at,
        }
        for agent in found
    ]
    # where they are not the usual ones
    unusual = ["trust"] if any(agent.trust != "agent" for agent in found if not agent.root) else []
    unusual += ["suspended_at"] if any(agent.suspended_at for agent in found) else []
    cli.out.table(rows, (*_AGENTS, *unusual))


async def create(
    cli: Cli,
    name: NameArgument,
    login: Annotated[
        str | None, typer.Option(metavar="LOGIN", help="A database login of its own, made if there is none.")
    ] = None,
    reuse: ReuseOption = False,
) -> None:
    """Registers an agent, with read and write on memory/AGENT/**."""
    async with cli.connect() as state:
        await state.create_agent(name, login, reuse=reuse)
    cli.out.outcome({"agent": name, "login": login}, ("agent",), f"agent {name} is registered")


async def create_gateway(cli: Cli, login: LoginArgument) -> None:
    """Registers a login that acts for the agents delegated to it."""
    async with cli.connect() as state:
        await state.create_gateway(login)
    cli.out.outcome({"login": login}, ("login",), f"gateway {login} is registered")


async def create_reader(
    cli: Cli,
    login: LoginArgument,
    subtree: Annotated[str, typer.Argument(help="A key, research/**, or ** for all.")],
    reuse: ReuseOption = False,
) -> None:
    """Registers a login for people who query the views with SQL."""
    async with cli.connect() as state:
        await state.create_reader(login, subtree, reuse=reuse)
    cli.out.outcome({"login": login, "subtree": subtree}, ("login",), f"reader {login} may select {subtree}")


async def drop(cli: Cli, name: NameArgument) -> None:
    """Removes an agent or reader, and all that it may do.

    Its grants, delegations and watches are gone, its claims are given back. What it wrote stays, memory/AGENT/** too,
    and so does the history with its name. The role of its login stays in the database cluster; DROP ROLE removes it.
    """
    async with cli.connect() as state:
        logins = [agent.login for agent in await state.agents() if agent.name == name and agent.login is not None]
        await state.drop_agent(name)
    stays = "".join(f", and so does the database role {login}" for login in logins)
    cli.out.outcome({"agent": name}, ("agent",), f"agent {name} is dropped; what it wrote stays{stays}")


async def drop_gateway(cli: Cli, login: LoginArgument) -> None:
    """Removes a gateway and its delegations.

    Its agents stay. So does its role in the database cluster; DROP ROLE removes it.
    """
    async with cli.connect() as state:
        await state.drop_gateway(login)
    cli.out.outcome({"login": login}, ("login",), f"gateway {login} is dropped; the database role stays")


async def set_login(
    cli: Cli,
    name: NameArgument,
    login: Annotated[
        str | None, typer.Argument(metavar="LOGIN", help="A database login, made if there is none.")
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="No login of its own: it acts through gateways.")] = False,
) -> None:
    """Moves an agent to another login.

    The one that it had is nobody's from then on. Its role stays in the database cluster; DROP ROLE removes it.
    """
    if (login is None) is not none:
        raise cli.fail(USAGE, "give a LOGIN, or --none")
    async with cli.connect() as state:
        await state.set_login(name, login)
    said = f"agent {name} has no login of its own" if login is None else f"agent {name} is login {login}"
    cli.out.outcome({"agent": name, "login": login}, ("agent", "login"), said)


async def set_trust(cli: Cli, name: NameArgument, trust: TrustArgument) -> None:
    """Sets the most that what an agent writes is trusted."""
    async with cli.connect() as state:
        await state.set_trust(name, trust)
    cli.out.outcome(
        {"agent": name, "trust": trust}, ("agent", "trust"), f"what {name} writes is trusted as {trust} at most"
    )


async def endorse(
    cli: Cli,
    key: KeyArgument,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="The version that you have looked at.")],
    trust: TrustArgument,
) -> None:
    """Raises the trust of what a key holds, up to your own.

    Exit code 4 if the version is not the current one, or is claimed.
    """
    async with cli.connect() as state:
        made = await state.endorse(key, version, trust)
    row = {"key": key, "version": made, "trust": trust}
    cli.out.outcome(row, ("version",), f"{key} is trusted as {trust} (version {made})")


async def delegate(cli: Cli, login: LoginArgument, name: NameArgument) -> None:
    """Lets a gateway act for an agent."""
    async with cli.connect() as state:
        await state.delegate(login, name)
    cli.out.outcome({"login": login, "agent": name}, ("login", "agent"), f"{login} may act for {name}")


async def undelegate(cli: Cli, login: LoginArgument, name: NameArgument) -> None:
    """Ends a delegation."""
    async with cli.connect() as state:
        await state.undelegate(login, name)
    cli.out.outcome({"login": login, "agent": name}, ("login", "agent"), f"{login} may not act for {name} any more")


async def grant(
    cli: Cli,
    name: Annotated[str | None, typer.Argument(metavar="AGENT", help="The agent's name.")] = None,
    subtree: Annotated[
        str | None, typer.Argument(metavar="SUBTREE", help="A key, 'research/**', or '**' for everything.")
    ] = None,
    rights: Annotated[list[str] | None, typer.Argument(metavar="RIGHT", help="read, write, admin.")] = None,
    deny: DenyOption = False,
    ttl: Annotated[
        float | None,
        typer.Option(parser=duration, metavar="DURATION", help="Ends by itself after that."),
    ] = None,
) -> None:
    """Grants rights on a key or subtree to an agent or a group; alone, lists the grants.

    pgstate grant alice 'research/**' read write
    """
    if name is not None and subtree is not None:
        checked = _checked(cli, rights)
        async with cli.connect() as state:
            for right in checked:
                await (state.deny_access if deny else state.grant_access)(name, subtree, right, ttl=ttl)
        _outcome(cli, name, subtree, checked, "may not" if deny else "may")
        return
    async with cli.connect() as state:
        found = await state.grants()
    rows = [
        {
            "agent": row.agent,
            "subtree": row.subtree,
            "right": row.right,
            "deny": row.deny,
            "until": row.until,
            "granted_by": row.granted_by,
            "granted_at": row.granted_at,
        }
        for row in found
        if name is None or row.agent == name
    ]
    cli.out.table(rows, _GRANTS, empty="no grants")


async def revoke(
    cli: Cli,
    name: NameArgument,
    subtree: Annotated[str, typer.Argument(metavar="SUBTREE", help="Exactly as it was granted.")],
    rights: Annotated[list[str], typer.Argument(metavar="RIGHT", help="read, write, admin.")],
    deny: DenyOption = False,
) -> None:
    """Takes rights back, or with --deny what was denied."""
    checked = _checked(cli, rights)
    async with cli.connect() as state:
        for right in checked:
            await state.revoke_access(name, subtree, right, deny=deny)
    _outcome(cli, name, subtree, checked, "is no longer denied" if deny else "may no longer")


def _outcome(cli: Cli, name: str, subtree: str, rights: list[str], may: str) -> None:
    row = {"agent": name, "subtree": subtree, "rights": rights}
    cli.out.outcome(row, ("agent", "subtree", "rights"), f"{name} {may} {' and '.join(rights)} {subtree}")


def _checked(cli: Cli, rights: list[str] | None) -> list[str]:
    """All of them before the first is granted."""
    if not rights or not set(rights) <= set(_RIGHTS):
        raise cli.fail(USAGE, f"name one or more rights: {', '.join(_RIGHTS)}")
    return list(dict.fromkeys(rights))


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    sub, alone = group(app, "agents", panel=_PANEL)
    alone(agents)
    command(sub, "create")(create)
    command(sub, "create-gateway")(create_gateway)
    command(sub, "create-reader")(create_reader)
    command(sub, "set-login")(set_login)
    command(sub, "set-trust")(set_trust)
    command(sub, "drop")(drop)
    command(sub, "drop-gateway")(drop_gateway)
    command(sub, "delegate")(delegate)
    command(sub, "undelegate")(undelegate)
    _quarantine.register(app, sub)
    command(app, "endorse", panel=_PANEL)(endorse)
    command(app, "grant", panel=_PANEL)(grant)
    command(app, "revoke", panel=_PANEL)(revoke)
