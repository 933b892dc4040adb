"""migrate, uninstall."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

import typer

from pgstate import migrate
from pgstate.cli._command import Cli, command
from pgstate.cli._exit import FAILED, USAGE

_PANEL = "Server"


async def migrate_(
    cli: Cli,
    to: Annotated[str, typer.Option("--to", "--revision", metavar="REVISION", help="Where to go.")] = "head",
    downgrade: Annotated[bool, typer.Option("--downgrade", help="Go back to the revision that --to names.")] = False,
    data_loss: Annotated[bool, typer.Option("--data-loss", help="Go back even if something is lost.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 if the database is not at the revision.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; tell what would be done.")] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Only print the SQL, for psql -v ON_ERROR_STOP=1.")] = False,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="REVISION", help="With --sql: where the database is, if it has pgstate."),
    ] = None,
    roles_sql: Annotated[
        str | None,
        typer.Option(
            "--roles-sql",
            metavar="LOGIN",
            help="Only print what an administrator runs once so that LOGIN can install with --no-create-roles.",
        ),
    ] = None,
    create_roles: Annotated[
        bool, typer.Option("--create-roles/--no-create-roles", help="Make pgstate's roles, or find them there.")
    ] = True,
    create_schema: Annotated[
        bool, typer.Option("--create-schema/--no-create-schema", help="Make the schema, or find it there.")
    ] = True,
    lock_timeout: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for sessions that use the tables.")
    ] = 30.0,
) -> None:
    """Installs pgstate in a database, or brings it up to date.

    Safe to run at any time, by any number of processes at once: all or nothing.
    """
    if from_ is not None and not sql:
        raise cli.fail(USAGE, "--from goes with --sql: a database is asked where it is")
    if roles_sql is not None:
        print(migrate.roles_sql(roles_sql, create_schema=create_schema), end="")
        return
    options = {"create_schema": create_schema, "lock_timeout": lock_timeout}
    if sql:
        text = partial(migrate.sql, to, start=from_, create_roles=create_roles, data_loss=data_loss, **options)  # type: ignore[arg-type]
        print(await asyncio.to_thread(text), end="")
        return
    if downgrade and to == "head":
        raise cli.fail(USAGE, "--downgrade goes back to a revision: name it with --to (base removes pgstate)")
    address = await cli.address()
    plan = await asyncio.to_thread(migrate.plan_dsn, address, to, down=downgrade)
    if check:
        _show_check(cli, plan)
        return
    if not (downgrade or plan.steps) and plan.current is not None and plan.target < plan.current:
        raise cli.fail(USAGE, f"the schema is at {plan.current}, after {plan.target}: --downgrade goes back")
    if downgrade and plan.target != "base" and plan.target > (plan.current or ""):
        at = f"the schema is at {plan.current}" if plan.current else "pgstate is not installed"
        raise cli.fail(USAGE, f"{at}, before {plan.target}: without --downgrade it goes there")
    _show_plan(cli, plan, dry_run=dry_run)
    if dry_run:
        if not data_loss and any(step.losses for step in plan.steps):
            cli.out.note("this is refused without --data-loss")
        return
    run = migrate.downgrade_dsn if downgrade else migrate.upgrade_dsn
    more = {"data_loss": data_loss} if downgrade else {"create_roles": create_roles}
    done = await asyncio.to_thread(partial(run, address, to, **options, **more))  # type: ignore[arg-type]
    _show_done(cli, plan, done)


def _show_check(cli: Cli, plan: migrate.Plan) -> None:
    there = plan.current == plan.target
    if cli.out.for_programs:
        cli.out.line({"current": plan.current, "target": plan.target, "there": there}, ())
    else:
        cli.out.say(f"the schema is at {plan.current}" if plan.current else "pgstate is not installed")
    if not there:
        raise cli.fail(FAILED, f"the database is not at revision {plan.target}: pgstate migrate brings it there")


def _show_plan(cli: Cli, plan: migrate.Plan, *, dry_run: bool) -> None:
    if cli.out.for_programs:
        if dry_run:
            for step in plan.steps:
                cli.out.line(
                    {
                        "revision": step.revision,
                        "down": plan.down,
                        "title": step.title,
                        "details": step.details,
                        "losses": list(step.losses),
                    },
                    (),
                )
        return
    # what would be done is the answer to --dry-run; before it is done it is only a word along the way
    say = cli.out.say if dry_run else cli.out.note
    if dry_run and not plan.steps:
        say(f"nothing to do, the schema is at {plan.current or 'base'}")
    for step in plan.steps:
        say(
            f"{'undo' if plan.down else 'apply'} {step.revision}: {step.title}"
            + (f"\n  {step.details}" if dry_run else "")
            + (f"\n  loses: {', '.join(step.losses)}" if dry_run and step.losses else "")
        )


def _show_done(cli: Cli, plan: migrate.Plan, done: list[str]) -> None:
    reached = plan.target if done or plan.current is None else plan.current
    if cli.out.for_programs:
        cli.out.line({"undone" if plan.down else "applied": done, "revision": reached}, ())
    elif done:
        cli.out.say(f"{'undid' if plan.down else 'applied'} {', '.join(done)}")
    else:
        cli.out.say(f"nothing to do, the schema is at {reached}")


async def uninstall(
    cli: Cli,
    yes: Annotated[bool, typer.Option("--yes", help="Do it.")] = False,
    keep_schema: Annotated[
        bool, typer.Option("--keep-schema", help="Leave the schema itself, empty: somebody else made it.")
    ] = False,
    lock_timeout: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for sessions that use the tables.")
    ] = 30.0,
) -> None:
    """Removes pgstate from a database with all that it holds, after showing what that is.

    Logins that were made for agents stay, and its roles where another database of the cluster uses them.
    """
    address = await cli.address()
    found = await asyncio.to_thread(migrate.inventory_dsn, address)
    if yes:
        remove = partial(migrate.uninstall_dsn, create_schema=not keep_schema, lock_timeout=lock_timeout)
        found = await asyncio.to_thread(remove, address)
    if cli.out.for_programs:
        row = {name: getattr(found, name) for name in migrate.Inventory.__dataclass_fields__}
        cli.out.line(row | {"removed": yes}, ())
    else:
        _show_inventory(cli, found)
    if not yes:
        raise cli.fail(USAGE, "nothing was removed: --yes does it, and there is no way back but a backup")
    cli.out.note("pgstate is removed")


def _show_inventory(cli: Cli, found: migrate.Inventory) -> None:
    gone = [role for role in found.roles if role not in found.shared_roles]
    lines = {
        "revision": found.revision,
        "agents": found.agents,
        "entries": found.entries,
        "versions": found.versions,
        "size": f"{found.size / 1e6:.1f} MB",
        "roles": ", ".join(gone) or "none",
        "roles that stay": ", ".join(found.shared_roles)
        and f"{', '.join(found.shared_roles)} (other databases use them)",
        "logins that stay": ", ".join(found.logins),
        "yours, which goes along": ", ".join(found.dependents),
    }
    for name, value in lines.items():
        if value != "":
            cli.out.say(f"{name:24} {value}")


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    command(app, "migrate", panel=_PANEL)(migrate_)
    command(app, "uninstall", panel=_PANEL)(uninstall)
