"""up, down, status, demo."""

from __future__ import annotations

import asyncio
from typing import Any

import typer

import pgstate
from pgstate import errors, migrate
from pgstate._address import without_passwords
from pgstate.cli._command import Cli, command, embedded_home
from pgstate.cli._exit import FAILED, MISSING, USAGE

_PANEL = "Server"
_FOR_DEVELOPMENT = "an embedded server is for development: no backups, no passwords, one machine"


async def up(cli: Cli) -> None:
    """Starts the embedded PostgreSQL, which is for development."""
    from pgstate import embedded

    was_up = embedded.status() is not None
    server = await embedded.ensure()
    try:
        async with pgstate.connect(server.dsn) as state:
            revision = (await state.info()).revision
    except errors.SchemaError:
        await migrate.upgrade_async(server.dsn)
        revision = migrate.HEAD
    row = {
        "address": server.dsn,
        "home": str(server.home),
        "postgresql": server.version,
        "pid": server.pid,
        "revision": revision,
    }
    done = "was running already" if was_up else "is up"
    cli.out.outcome(row, ("address",), f"PostgreSQL {server.version} {done} in {server.home}\n{server.dsn}")
    cli.out.note(_FOR_DEVELOPMENT)
    if cli.dsn is not None:
        cli.out.note("PGSTATE_DSN or --dsn is given: other commands go to that address, not to this server")


async def down(cli: Cli) -> None:
    """Stops the embedded PostgreSQL; its data stays."""
    from pgstate import embedded

    stopped = await asyncio.to_thread(embedded.stop)
    said = f"the server in {embedded_home()} is stopped" if stopped else f"no server was running in {embedded_home()}"
    cli.out.outcome({"home": str(embedded_home()), "stopped": stopped}, ("stopped",), said)


async def status(cli: Cli) -> None:
    """Tells which server the commands go to, and who you are there.

    Exit code 3 if it is the embedded one and not running.
    """
    dsn = cli.dsn
    if dsn is not None:
        facts: dict[str, Any] = {"server": "given by address", "address": without_passwords(dsn)}
    else:
        from pgstate import embedded

        running = embedded.status()
        if running is None:
            raise cli.fail(MISSING, f"no embedded server is running in {embedded_home()}; pgstate up starts one")
        dsn = running.dsn
        facts = {
            "server": "embedded, for development",
            "address": running.dsn,
            "home": str(running.home),
            "postgresql": running.version,
            "pid": running.pid,
        }
    try:
        async with pgstate.connect(dsn, agent=cli.common.agent) as state:
            info = await state.info()
    except errors.SchemaMissing:
        facts |= {"revision": None, "agent": None, "login": None, "value_limit": None}
    else:
        facts |= {
            "revision": info.revision,
            "agent": info.agent,
            "login": info.login,
            "value_limit": info.value_limit,
        }
    if cli.out.for_programs:
        cli.out.line(facts, ())
        return
    for name, value in facts.items():
        shown = "none: run pgstate migrate" if value is None and name == "revision" else value
        cli.out.say(f"{name.replace('_', ' '):12} {'' if shown is None else shown}".rstrip())


async def demo(cli: Cli) -> None:
    """Shows it at work: four processes share tasks, one is killed.

    They read the modules of Python's standard library and merge what they find into shared keys. Takes some seconds,
    and needs a login that administers pgstate, as the embedded server's does.
    """
    from pgstate.demo import run

    if cli.common.agent is not None:
        raise cli.fail(USAGE, "the demo acts as agents of its own: leave --agent out")
    async with cli.connect() as state:
        passed = await run(state, cli.dsn, cli.out.console())
    if not passed:
        raise cli.fail(FAILED, "the demo failed: see above")


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    command(app, "up", panel=_PANEL)(up)
    command(app, "down", panel=_PANEL)(down)
    command(app, "status", panel=_PANEL)(status)
    command(app, "demo", panel=_PANEL)(demo)
