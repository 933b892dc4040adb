"""Connections of the caller's, with a transaction of the caller's on them: asyncpg's, SQLAlchemy's, psycopg's.

SQLAlchemy keeps a driver's connection underneath, and statements go straight to that: the caller's engine has no say in
how their arguments and rows are converted, and `echo` does not show them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg

from pgstate import errors
from pgstate.types import Row

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

_KINDS = "an asyncpg connection, an AsyncSession or AsyncConnection of SQLAlchemy, or a psycopg AsyncConnection"


class Statements(Protocol):
    """What a statement of `_calls` needs."""

    async def fetch(self, query: str, *args: object, timeout: float | None = None) -> Sequence[Row]: ...


class Link(Protocol):
    """A way to a connection of the caller's."""

    async def statements(self) -> Statements:
        """Where the next statement goes. Asked each time: a session may have another connection by then, or a savepoint
        that the database does not know of yet."""


def link(connection: Any) -> Link:
    """The link to a connection of a kind that is known. Raises InvalidArgument."""
    if isinstance(connection, (asyncpg.Connection, asyncpg.pool.PoolConnectionProxy)):
        return _Itself(connection)
    # looked up by name: neither is loaded unless the caller has done it
    packages = {cls.__module__.partition(".")[0] for cls in type(connection).__mro__}
    if "sqlalchemy" in packages:
        from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

        if isinstance(connection, AsyncConnection):
            return _Connected(connection)
        if isinstance(connection, (AsyncSession, async_scoped_session)):
            return _InSession(connection)
    elif "psycopg" in packages:
        import psycopg

        if isinstance(connection, psycopg.AsyncConnection):
            return _Itself(_psycopg(connection))
    kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
    raise errors.InvalidArgument(f"pgstate can be bound to {_KINDS}, not to a {kind}")


def _psycopg(connection: Any) -> Statements:
    from pgstate._psycopg import PsycopgStatements

    return PsycopgStatements(connection)


class _Itself:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def statements(self) -> Statements:
        return self._statements


class _Connected:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def statements(self) -> Statements:
        return await _driver(self._connection)


class _InSession:
    def __init__(self, session: AsyncSession | Any) -> None:
        self._session = session

    async def statements(self) -> Statements:
        return await _driver(await self._session.connection())


async def _driver(connection: AsyncConnection) -> Statements:
    """The driver's connection, in the transaction that SQLAlchemy believes it to be in: that begins on asyncpg with the
    first statement that SQLAlchemy runs itself, and a commit before it does nothing."""
    raw: Any = None
    if connection.in_transaction() and connection.sync_connection is not None:
        raw = connection.sync_connection.connection.driver_connection
        if connection.dialect.driver == "asyncpg" and not raw.is_in_transaction():
            raw = None
    if raw is None:
        await connection.exec_driver_sql("select 1")
        raw = (await connection.get_raw_connection()).driver_connection
    if connection.dialect.driver == "asyncpg":
        statements: Statements = raw
        return statements
    if connection.dialect.driver == "psycopg":
        return _psycopg(raw)
    raise errors.InvalidArgument(f"pgstate can be bound to {_KINDS}; this one is on {connection.dialect.driver}")
