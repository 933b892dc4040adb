"""Connections of the caller's, with a transaction of the caller's on them: asyncpg's, SQLAlchemy's, psycopg's.

SQLAlchemy keeps a driver's connection underneath, and statements go straight to that: the caller's engine has no say in
how their arguments and rows are converted, and `echo` does not show them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast
from weakref import ref

import asyncpg

from pgstate import errors
from pgstate.types import Row

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

_KNOWN = "pgstate"
_KINDS = "an asyncpg connection, an AsyncSession or AsyncConnection of SQLAlchemy, or a psycopg AsyncConnection"


class Statements(Protocol):
    """What a statement of `_calls` needs."""

    async def fetch(self, query: str, *args: object, timeout: float | None = None) -> Sequence[Row]: ...

    def is_in_transaction(self) -> bool: ...


class Link(Protocol):
    """A way to a connection of the caller's."""

    async def statements(self) -> Statements:
        """Where the next statement goes. Asked each time: a session may have another connection by then, or a savepoint
        that the database does not know of yet."""


def link(connection: Any) -> Link:
    """The link to a connection of a kind that is known. Raises InvalidArgument."""
    kind: Any = type(connection)
    return _link_for(kind)(connection)


@lru_cache
def _link_for(kind: type) -> Callable[[Any], Link]:
    if issubclass(kind, (asyncpg.Connection, asyncpg.pool.PoolConnectionProxy)):
        return _Itself
    # looked up by name: neither is loaded unless the caller has done it
    packages = {cls.__module__.partition(".")[0] for cls in kind.__mro__}
    if "sqlalchemy" in packages:
        from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

        if issubclass(kind, AsyncConnection):
            return _Connected
        if issubclass(kind, AsyncSession):
            return _InSession
        if issubclass(kind, async_scoped_session):
            return lambda scoped: _InSession(scoped())
    elif "psycopg" in packages:
        import psycopg

        if issubclass(kind, psycopg.AsyncConnection):
            return lambda connection: _Itself(_psycopg(connection))
    raise errors.InvalidArgument(f"pgstate can be bound to {_KINDS}, not to a {kind.__module__}.{kind.__qualname__}")


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
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def statements(self) -> Statements:
        session = self._session.sync_session
        begun = session.get_nested_transaction() or session.get_transaction()
        known: _Known | None = session.info.get(_KNOWN)
        if begun is None or known is None or not known.holds(begun):
            # costs as much as a read in the database: once for a transaction or savepoint
            statements = await _driver(await self._session.connection())
            begun = session.get_nested_transaction() or session.get_transaction()
            session.info[_KNOWN] = known = _Known(ref(begun), statements)
        return known.statements


class _Known(NamedTuple):
    """The connection of a session in a transaction or savepoint of it."""

    begun: ref[Any]
    statements: Statements

    def holds(self, begun: Any) -> bool:
        """Not after a failed flush, which has rolled the transaction back: statements would commit by themselves."""
        return bool(begun.is_active) and self.begun() is begun and self.statements.is_in_transaction()


async def _driver(connection: AsyncConnection) -> Statements:
    """The driver's connection, in the transaction that SQLAlchemy believes it to be in: that begins on asyncpg with the
    first statement that SQLAlchemy runs itself, and a commit before it does nothing."""
    if connection.dialect.driver not in ("asyncpg", "psycopg"):
        raise errors.InvalidArgument(f"pgstate can be bound to {_KINDS}; this one is on {connection.dialect.driver}")
    statements = _raw(connection) if connection.in_transaction() else None
    if statements is None or not statements.is_in_transaction():
        await connection.exec_driver_sql("select 1")
        statements = _raw(connection)
    return statements


def _raw(connection: AsyncConnection) -> Statements:
    raw: Any = cast("Connection", connection.sync_connection).connection.driver_connection
    statements: Statements = raw if connection.dialect.driver == "asyncpg" else _psycopg(raw)
    return statements
