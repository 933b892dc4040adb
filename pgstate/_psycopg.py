"""Statements on a psycopg connection. Imported only where the caller has one."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg import postgres
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Loader
from psycopg.pq import Format, TransactionStatus
from psycopg.rows import dict_row
from psycopg.types.array import register_all_arrays

from pgstate import errors
from pgstate.types import Row


class _Moments(Loader):
    """Times in UTC, whatever the session's time zone, as asyncpg gives them."""

    format = Format.BINARY

    def load(self, data: Buffer) -> datetime:
        return _EPOCH + timedelta(microseconds=int.from_bytes(data, "big", signed=True))


_EPOCH = datetime.fromisoformat("2000-01-01T00:00:00+00:00")


class _Ours:
    """psycopg's own conversions: those that the application registers are for its own rows."""

    connection = None

    def __init__(self) -> None:
        self.adapters = AdaptersMap(types=postgres.types)
        postgres.register_default_adapters(self)
        register_all_arrays(self)
        self.adapters.register_loader("timestamptz", _Moments)


_ADAPTERS = _Ours().adapters


class _Cursor(psycopg.AsyncRawCursor[dict[str, Any]]):
    """A cursor for statements with $1, apart from the connection's row factory and adapters."""

    @property
    def adapters(self) -> AdaptersMap:
        return _ADAPTERS


class _SyncCursor(psycopg.RawCursor[dict[str, Any]]):
    """The same for a synchronous connection."""

    @property
    def adapters(self) -> AdaptersMap:
        return _ADAPTERS


def rows_of(connection: psycopg.Connection[Any], query: str, args: Sequence[object]) -> Sequence[Row]:
    """Rows of a statement on a synchronous connection. Raises psycopg's errors."""
    cursor = _SyncCursor(connection, row_factory=dict_row)
    cursor.execute(query, [_literal(argument) for argument in args], binary=True)
    return cursor.fetchall()


def in_transaction(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    """Has one been begun?"""
    return connection.pgconn.transaction_status != TransactionStatus.IDLE


# seconds that a server may take to cancel a statement
GRACE = 1.0


@asynccontextmanager
async def _within(connection: psycopg.AsyncConnection[Any], timeout: float | None) -> AsyncIterator[None]:
    """Around a statement: raises TimeoutError when it takes longer. Not by cancelling the task: psycopg then waits for
    the server's word on it, without end from one that is gone."""
    if timeout is None:
        yield
        return
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    ending: list[asyncio.Task[None]] = []
    timer = loop.call_later(timeout, lambda: ending.append(loop.create_task(_end(connection, over))))
    try:
        yield
    except psycopg.Error as error:
        if ending:
            raise TimeoutError from error
        raise
    finally:
        timer.cancel()
        over.set()
        if ending:
            # else its request might meet the next statement
            await ending[0]


async def _end(connection: psycopg.AsyncConnection[Any], over: asyncio.Event) -> None:
    """Has the server cancel a statement, or breaks the connection to one that does not answer."""
    with suppress(psycopg.Error, OSError):
        await connection.cancel_safe(timeout=GRACE)
    with suppress(TimeoutError):
        async with asyncio.timeout(GRACE):
            await over.wait()
    if not over.is_set():
        break_off(connection)


def break_off(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Breaks a connection: whoever waits for it hears so."""
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.pgconn.socket)) as own:
        own.shutdown(socket.SHUT_RDWR)


def cancel(connection: psycopg.Connection[Any]) -> None:
    """Has the server cancel the statement that runs on a synchronous connection, if it answers soon."""
    with suppress(psycopg.Error, OSError):
        connection.cancel_safe(timeout=GRACE)


class PsycopgStatements:
    """Runs statements as asyncpg does: arguments travel as text, and the server knows their types."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def fetch(self, query: str, *args: object, timeout: float | None = None) -> Sequence[Row]:
        """Rows of a statement. Raises psycopg's errors, and TimeoutError when it took longer and was cancelled."""
        async with _within(self._connection, timeout):
            cursor = _Cursor(self._connection, row_factory=dict_row)
            await cursor.execute(query, [_literal(argument) for argument in args], binary=True)
            return await cursor.fetchall()

    def is_in_transaction(self) -> bool:
        """Has one been begun?"""
        return in_transaction(self._connection)


def _literal(value: object) -> str | None:
    """A value as PostgreSQL reads it. Raises InvalidArgument for what no argument is."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return "{" + ",".join(_element(item) for item in value) + "}"
    for kind, text in _TEXT.items():
        if isinstance(value, kind):
            return text(value)
    raise errors.InvalidArgument(f"an argument is of the wrong type: {value!r:.80}")


def _element(value: object) -> str:
    text = _literal(value)
    if text is None or isinstance(value, list):
        return text or "null"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_TEXT: dict[type, Callable[[Any], str]] = {
    # before int, which it is too
    bool: lambda value: "true" if value else "false",
    # one that is an Enum calls itself by its name
    int: int.__repr__,
    float: repr,
    timedelta: lambda span: f"{span // timedelta(microseconds=1)} microseconds",
    datetime: lambda moment: moment.astimezone().isoformat(),
    UUID: str,
    bytes: lambda data: "\\x" + data.hex(),
}
