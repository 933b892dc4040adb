"""Bringing a database to a schema revision: at an address, in a revision of your own Alembic, or as text for psql.

All three give the same schema, in one transaction, so a run that fails leaves nothing behind, and any number of runs
may start at once. Whoever migrates needs CREATE on the database and CREATEROLE, no superuser; or neither, when somebody
else made the schema (`create_schema=False`) and the roles (`create_roles=False`, after an administrator ran what
`roles_sql` returns).

In a revision of your own:

    from alembic import op
    from pgstate import migrate

    def upgrade(): migrate.upgrade(op, "0003")
    def downgrade(): migrate.downgrade(op, "0002")

Revisions change what they touch under an exclusive lock, for a moment: they rewrite no large table. A session that
keeps a transaction open on one is waited for, `lock_timeout` seconds, a fraction of a second at a time, so that others
go on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pgstate._migration_sql import Options, roles
from pgstate._plan import Inventory, Plan, Step

if TYPE_CHECKING:
    from alembic.operations import Operations

__all__ = [
    "HEAD",
    "Inventory",
    "Plan",
    "Step",
    "current_dsn",
    "downgrade",
    "downgrade_dsn",
    "include_name",
    "inventory_dsn",
    "plan_dsn",
    "roles_sql",
    "sql",
    "uninstall_dsn",
    "upgrade",
    "upgrade_async",
    "upgrade_dsn",
]

HEAD = "0014"

# pgstate._alembic is imported where it is used: Alembic takes longer to import than the rest of the package, and a
# client only wants to know HEAD.


def upgrade(
    op: Operations | Any,
    revision: str,
    *,
    create_schema: bool = True,
    create_roles: bool = True,
    lock_timeout: float = 30.0,
) -> list[str]:
    """In a revision of your own Alembic: brings pgstate to `revision`, in its transaction; returns what was applied.

    `op` is Alembic's. Works with psycopg, psycopg2 and asyncpg. With --sql the script finds out itself what the
    database needs, and nothing is returned. `revision` is a number: "head" would be another one after the next upgrade
    of the package, and a revision of yours must always do the same.
    Raises ValueError, SchemaTooNew, and the driver's errors.
    """
    _check_named(revision)
    from pgstate import _alembic

    options = Options(create_schema, create_roles, lock_timeout)
    return _alembic.inside(op.get_context(), "upgrade", revision, options)


def downgrade(
    op: Operations | Any,
    revision: str,
    *,
    create_schema: bool = True,
    data_loss: bool = False,
    lock_timeout: float = 30.0,
) -> list[str]:
    """As `upgrade`, back to `revision`; "base" removes pgstate. Fails if anything would be lost, unless `data_loss`."""
    _check_named(revision)
    from pgstate import _alembic

    options = Options(create_schema, lock_timeout=lock_timeout, data_loss=data_loss)
    return _alembic.inside(op.get_context(), "downgrade", revision, options)


def _check_named(revision: str) -> None:
    if revision.startswith("head") or not (revision == "base" or revision.isalnum()):
        raise ValueError(
            f"{revision!r} is another revision after the next upgrade of pgstate, and a revision of yours must always "
            f'do the same: name it, "{HEAD}"'
        )


def upgrade_dsn(
    dsn: str,
    revision: str = "head",
    *,
    create_schema: bool = True,
    create_roles: bool = True,
    lock_timeout: float = 30.0,
) -> list[str]:
    """Brings the database to `revision` and returns the revisions applied, oldest first; none if it was there already.

    Blocks until done and must not be called from a running event loop: `upgrade_async` is for that. Safe to run any
    number of times at once: a run waits for another that is under way.
    Raises Unreachable, AccessDenied, SchemaBusy if sessions kept using the tables for `lock_timeout` seconds,
    SchemaTooNew if the database is at a revision that this version of pgstate does not know, and ValueError for an
    unknown `revision`.
    """
    from pgstate import _alembic

    options = Options(create_schema, create_roles, lock_timeout)
    return asyncio.run(_alembic.run(dsn, "upgrade", revision, options))


def downgrade_dsn(
    dsn: str,
    revision: str,
    *,
    data_loss: bool = False,
    create_schema: bool = True,
    lock_timeout: float = 30.0,
) -> list[str]:
    """Takes the database back to `revision` ("base" removes pgstate and all that it holds); returns those undone.

    Raises DataLoss if something would be lost, and tells what, unless `data_loss`; and what `upgrade_dsn` raises. With
    `create_schema=False` the schema itself stays at "base".
    """
    from pgstate import _alembic

    options = Options(create_schema, lock_timeout=lock_timeout, data_loss=data_loss)
    return asyncio.run(_alembic.run(dsn, "downgrade", revision, options))


async def upgrade_async(dsn: str, revision: str = "head", **options: Any) -> list[str]:
    """`upgrade_dsn` in a thread."""
    return await asyncio.to_thread(upgrade_dsn, dsn, revision, **options)


def current_dsn(dsn: str) -> str | None:
    """The revision the database is at, None if pgstate is not installed. Blocks; needs the administrator's rights."""
    from pgstate import _alembic

    return asyncio.run(_alembic.current(dsn))


def plan_dsn(dsn: str, revision: str = "head", *, down: bool = False) -> Plan:
    """What `upgrade_dsn` (or, with `down`, `downgrade_dsn`) would do: changes nothing. Raises what they raise."""
    from pgstate import _inspect

    return asyncio.run(_inspect.plan(dsn, revision, down=down))


def inventory_dsn(dsn: str) -> Inventory:
    """What `uninstall_dsn` would remove, and leave. Needs the rights of who installed. Raises SchemaMissing."""
    from pgstate import _inspect

    return asyncio.run(_inspect.inventory(dsn))


def uninstall_dsn(dsn: str, *, create_schema: bool = True, lock_timeout: float = 30.0) -> Inventory:
    """Removes pgstate with all that it holds, and its roles unless another database of the cluster uses them.

    Logins that were made for agents stay. Returns what there was; `create_schema=False` leaves the schema itself.
    Raises SchemaMissing, and what `downgrade_dsn` raises.
    """
    found = inventory_dsn(dsn)
    downgrade_dsn(dsn, "base", data_loss=True, create_schema=create_schema, lock_timeout=lock_timeout)
    return found


def sql(
    revision: str = "head",
    *,
    start: str | None = None,
    create_schema: bool = True,
    create_roles: bool = True,
    data_loss: bool = False,
    lock_timeout: float = 30.0,
) -> str:
    """The SQL that takes a database from `start` (None: without pgstate) to `revision`, up or down, for
    `psql -v ON_ERROR_STOP=1`. "0001:0002" names both. A database that is somewhere else refuses it, unchanged."""
    from pgstate import _alembic

    if start is None and ":" in revision:
        start, _, revision = revision.partition(":")
    options = Options(create_schema, create_roles, lock_timeout, data_loss)
    return _alembic.printed(start or None, revision or "head", options)


def roles_sql(login: str, *, create_schema: bool = True) -> str:
    """The SQL that a superuser (or a role with CREATEROLE) runs once in a cluster, so that `login` can install with
    `create_roles=False`. With `create_schema=False` it also makes the schema, in the database that psql connects to."""
    return roles(login, schema=not create_schema)


def include_name(name: str | None, type_: str, parent_names: Any) -> bool:
    """For `context.configure(include_name=...)` in your env.py: leaves pgstate's schema out of autogenerate.

    Only needed with `include_schemas=True`: without it Alembic looks at the default schema alone.
    """
    return "pgstate" not in ((name,) if type_ == "schema" else (parent_names.get("schema_name"),))
