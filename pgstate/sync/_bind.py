"""The whole API inside a transaction on a synchronous connection of the caller's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from pgstate import client, errors
from pgstate._areas._base import Area
from pgstate._bound import BoundCore
from pgstate._links import Statements
from pgstate.sync import _loop
from pgstate.sync._calls import StateCalls
from pgstate.sync._runs import Runs
from pgstate.types import Row

_KINDS = "a psycopg Connection, or a Session, scoped_session or Connection of SQLAlchemy on psycopg"


class WithRuns(StateCalls):
    """What stands behind `runs` is made anew each time."""

    @property
    def runs(self) -> Runs:
        """Durable runs: start, signal, cancel, retry, fork, delete, list them, and work on them."""
        return Runs(lambda: self._its.runs)


class BoundState(WithRuns):
    """Shared state inside a transaction of the caller's. Made by `State.bind`; cheap. As `pgstate.BoundState`, for the
    thread that has the transaction."""

    _can_be_remade = False


def bind(area: Area, connection: Any) -> BoundState:
    """A state inside the transaction of a connection. Raises InvalidArgument for a kind that is not known."""
    core = BoundCore(_link(connection), area._core.embedding, area._core.guard)
    return BoundState(lambda: client.BoundState(core, area._agent, area._prefix, area._timeout))


def _link(connection: Any) -> _Link:
    # looked up by name: neither is loaded unless the caller has done it
    packages = {cls.__module__.partition(".")[0] for cls in type(connection).__mro__}
    if "psycopg" in packages:
        import psycopg

        if isinstance(connection, psycopg.Connection):
            return _Link(lambda: connection)
    elif "sqlalchemy" in packages:
        from sqlalchemy.engine import Connection
        from sqlalchemy.orm import Session, scoped_session

        if isinstance(connection, scoped_session):
            # that of this thread
            connection = connection()
        if isinstance(connection, Session):
            session = connection
            return _Link(lambda: _driver(session.connection()))
        if isinstance(connection, Connection):
            return _Link(lambda: _driver(connection))
    kind = type(connection)
    raise errors.InvalidArgument(
        f"pgstate.sync can be bound to {_KINDS}, not to a {kind.__module__}.{kind.__qualname__}"
    )


def _driver(connection: Any) -> Any:
    """The driver's connection, in the transaction that SQLAlchemy believes it to be in."""
    if connection.dialect.driver != "psycopg":
        raise errors.InvalidArgument(
            f"pgstate.sync can be bound to {_KINDS}; this one is on {connection.dialect.driver}"
        )
    if not connection.in_transaction():
        connection.exec_driver_sql("select 1")
    return connection.connection.driver_connection


class _Link:
    """A way to a connection, which is looked up and used in a thread of the loop while the caller waits."""

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = find

    async def statements(self) -> Statements:
        """Where the next statement goes."""
        return _Statements(await _loop.current().in_thread(self._find))


class _Statements:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch(self, query: str, *args: object, timeout: float | None = None) -> Sequence[Row]:
        """Rows of a statement, which is cancelled when it takes longer or nobody waits for it any more."""
        from pgstate._psycopg import GRACE, break_off, cancel, rows_of

        running = asyncio.ensure_future(_loop.current().in_thread(rows_of, self._connection, query, args))
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.shield(running)
        except (TimeoutError, asyncio.CancelledError):
            await asyncio.shield(_loop.current().in_thread(cancel, self._connection))
            done, _ = await asyncio.wait({running}, timeout=GRACE)
            if not done:
                break_off(self._connection)
                await asyncio.wait({running})
            # what the statement says of that is expected
            running.exception()
            raise

    def is_in_transaction(self) -> bool:
        """Has one been begun?"""
        from pgstate._psycopg import in_transaction

        return in_transaction(self._connection)
