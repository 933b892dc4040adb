"""Connections that lead through a pooler: what they can do.

A pooler answers in the server's place when a client connects, with a process id that it made up; that gives it away. In
transaction mode each transaction may meet another server process, so what a session keeps is not there: LISTEN, and
prepared statements, unless the pooler keeps account of them (PgBouncer from 1.21 on) under names of its own. Without a
statement cache asyncpg sends each statement whole and nameless, which works through any pooler.

Nothing is known of a connection that is examined: its statements stand in a transaction, and have no name.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Any

import asyncpg

from pgstate import errors
from pgstate._calls._run import Connection, transaction

_log = logging.getLogger("pgstate")

_ROUNDS = 3
_HEARING = 2.0  # seconds
_HOLDING = 0.5  # seconds
# of the arguments of statements that gather many writes: what asyncpg does not know of itself
_TYPES = "select null::bool[], null::int4[], null::int8[], null::timestamptz[], null::interval[]"


async def leads_through(connection: Connection, *, timeout: float) -> bool:
    """Whether something stands between this client and the server process that does its work."""
    return bool(await _backend(connection, timeout) != connection.get_server_pid())


async def keeps_statements(connection: Connection, *, timeout: float) -> bool:
    """Whether this connection's statements work through a pooler: they have no names, or the pooler gives others."""
    # the statement looks for itself, and finds nothing unless it is there under the name that asyncpg gave it
    sql = (
        f"select name from pg_catalog.pg_prepared_statements where statement like '%{secrets.token_hex(8)}%' "
        r"and name like '\_\_asyncpg\_%'"
    )
    try:
        async with transaction(connection, timeout):
            passed_on = await connection.fetchval(sql)
            if passed_on is not None:
                await connection.execute(f'deallocate "{passed_on}"')
    except errors.DatabaseError as error:
        # another client has left a statement of that name with the server process
        if isinstance(error.__cause__, asyncpg.DuplicatePreparedStatementError):
            return False
        raise
    return passed_on is None


async def learn_types(connection: Connection, *, timeout: float) -> None:
    """Has asyncpg look up types now: for that it changes a setting, which must come back to the same server process."""
    async with transaction(connection, timeout):
        await connection.prepare(_TYPES, name="")


async def has_session(connection: Connection, other: Connection, *, timeout: float) -> bool:
    """Whether a connection through a pooler has a server process to itself; `other` leads through the same one.

    While `other` keeps its process in an open transaction, this one shows whether it still has its own. That proves the
    sharing whenever it is seen. Not seen, only a notification heard proves that there is none.

    `other` keeps it for a moment only: many clients that connect at once would have all of the pooler's processes, each
    waiting for one more.
    """
    for _ in range(_ROUNDS):
        mine = await _backend(connection, timeout)
        again: asyncio.Future[object] | None = None
        try:
            async with transaction(other, timeout):
                if await _value(other, "select pg_catalog.pg_backend_pid()") == mine:
                    return False
                again = asyncio.ensure_future(_backend(connection, timeout))
                await asyncio.wait([again], timeout=_HOLDING)
            if await again != mine:
                return False
        finally:
            if again is not None and not again.done():
                again.cancel()
                await asyncio.wait([again])
    return await _hears(connection, other, timeout)


async def place(connection: Connection, *, timeout: float) -> tuple[object, object]:
    """Which database of which running server this is."""
    async with transaction(connection, timeout):
        return (
            await _value(
                connection, "select oid::int8 from pg_catalog.pg_database where datname = pg_catalog.current_database()"
            ),
            await _value(connection, "select pg_catalog.pg_postmaster_start_time()"),
        )


async def _hears(connection: Connection, other: Connection, timeout: float) -> bool:
    channel = f"pgstate_{secrets.token_hex(8)}"
    heard = asyncio.Event()

    def hear(*_: object) -> None:
        heard.set()

    async with transaction(connection, timeout):
        await connection.add_listener(channel, hear)
    async with transaction(other, timeout):
        await _value(other, "select pg_catalog.pg_notify($1, '')", channel)
    try:
        async with asyncio.timeout(_HEARING):
            await heard.wait()
    except TimeoutError:
        _log.debug("nothing was heard on %s", channel)
    async with transaction(connection, timeout):
        await connection.remove_listener(channel, hear)
    return heard.is_set()


async def _backend(connection: Connection, timeout: float) -> Any:
    async with transaction(connection, timeout):
        return await _value(connection, "select pg_catalog.pg_backend_pid()")


async def _value(connection: Connection, sql: str, *args: object) -> Any:
    statement = await connection.prepare(sql, name="")
    return await statement.fetchval(*args)
