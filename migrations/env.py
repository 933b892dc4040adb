"""Alembic's environment for the `alembic` command in a checkout: the database is the one that PGSTATE_DSN names.

`pgstate migrate` and `pgstate.migrate` do without: see `pgstate._alembic`.
"""

from __future__ import annotations

import asyncio
import os

from alembic import command, context
from sqlalchemy import Connection

from pgstate import _alembic
from pgstate._migration_sql import Options, start_check


def _run(*checks: str) -> None:
    # -x data_loss=yes, as --data-loss
    options = Options(data_loss="data_loss" in context.get_x_argument(as_dictionary=True))
    target = context.get_revision_argument()
    if getattr(context.config.cmd_opts, "cmd", [None])[0] is command.downgrade and not options.data_loss:
        checks = (*checks, _alembic.loss_check(context.script, str(target or "base")))
    removes = str(target or "base") == "base"
    with (
        context.begin_transaction(),
        _alembic.running(context.get_context(), options, *filter(None, checks), removes=removes),
    ):
        context.run_migrations()


def _online(connection: Connection) -> None:
    context.configure(connection=connection, version_table_schema=_alembic.SCHEMA)
    try:
        context.get_revision_argument()
    except KeyError:
        # `alembic current` and others that only look
        with context.begin_transaction():
            context.run_migrations()
    else:
        _run()


async def _standalone() -> None:
    dsn = os.environ.get("PGSTATE_DSN")
    if not dsn:
        raise SystemExit("set PGSTATE_DSN to the database's address")
    async with _alembic.connection(dsn) as connection:
        await connection.run_sync(_online)
        await connection.commit()


def _name(revision: object) -> str | None:
    return None if revision is None else str(revision)


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True, version_table_schema=_alembic.SCHEMA)
    _run(start_check(_name(context.get_starting_revision_argument()), str(context.get_revision_argument() or "base")))
else:
    asyncio.run(_standalone())
