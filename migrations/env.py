"""Alembic's environment: one transaction per run, serialised per database, the same statements online and as text.

`pgstate._alembic` hands over a connection. The `alembic` command opens the database that PGSTATE_DSN names.
"""

from __future__ import annotations

import asyncio
import os

from alembic import context
from sqlalchemy import Connection

from pgstate import _alembic


def _run(check: str = "") -> None:
    with context.begin_transaction():
        _alembic.run_script(_alembic.OPENING + check)
        context.run_migrations()
        _alembic.run_script(_alembic.CLOSING)


def _online(connection: Connection) -> None:
    context.configure(
        connection=connection,
        version_table_schema=_alembic.SCHEMA,
        on_version_apply=context.config.attributes.get("on_version_apply"),
    )
    _run()


async def _standalone() -> None:
    dsn = os.environ.get("PGSTATE_DSN")
    if not dsn:
        raise SystemExit("set PGSTATE_DSN to the database's address")
    async with _alembic.connection(dsn) as connection:
        await connection.run_sync(_online)
        await connection.commit()


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True, version_table_schema=_alembic.SCHEMA)
    _run(_alembic.start_check(context.get_starting_revision_argument(), context.get_revision_argument()))
elif (handed := context.config.attributes.get("connection")) is not None:
    _online(handed)
else:
    asyncio.run(_standalone())
