"""Where connections come from: an address, a pool or an engine that the application has."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import asyncpg

from pgstate import errors
from pgstate._address import driver_address
from pgstate._calls._run import Connection, translate

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")


class Source(Protocol):
    """Connections for statements, each used for one at a time, and one apart for listening."""

    async def take(self, timeout: float | None = None) -> Connection:
        """A connection to run statements on; waits while all are in use, for `timeout` seconds. Raises Unreachable,
        Timeout, Closed."""

    async def give(self, connection: Connection) -> None:
        """Hands a connection back."""

    async def listener(self, timeout: float) -> Connection:
        """A connection that is kept for LISTEN, and given up with `drop`. Raises Unreachable, Timeout."""

    async def drop(self, connection: Connection) -> None:
        """Ends a listening connection: nobody after it shall hear what it listened to."""

    async def close(self) -> None:
        """Closes what this source opened itself."""


async def _reach(connecting: Awaitable[Any], what: str) -> Any:
    try:
        return await connecting
    except (TimeoutError, OSError, ValueError, asyncpg.InterfaceError, asyncpg.PostgresError) as error:
        known = translate(error)
        if isinstance(known, errors.AccessDenied):
            raise known from error
        reason = str(error) or type(error).__name__
        raise errors.Unreachable(
            f"cannot connect to {what}: {reason}. Is the address right and the server up?"
        ) from error


async def _in_time(waiting: Awaitable[T], timeout: float | None) -> T:
    try:
        async with asyncio.timeout(timeout):
            return await waiting
    except TimeoutError:
        raise errors.Timeout("no connection came free in time: all are in use (a watch keeps one)") from None


class AddressSource:
    """Connections of our own. They are kept without asyncpg's pool, whose release costs a task and a round trip each
    time: nothing that this client does outlives its transaction, so there is nothing to reset."""

    def __init__(self, dsn: str, *, size: int, connect_timeout: float, **settings: Any) -> None:
        self._dsn = driver_address(dsn)
        self._settings = settings
        self._connect_timeout = connect_timeout
        self._free: list[Connection] = []
        self._room = asyncio.Semaphore(size)
        self._closed = False

    async def _connect(self, timeout: float) -> Connection:
        connecting = asyncpg.connect(self._dsn, timeout=timeout, **self._settings)
        connection: Connection = await _reach(connecting, "the server")
        return connection

    async def take(self, timeout: float | None = None) -> Connection:
        began = asyncio.get_running_loop().time()
        if self._room.locked():
            await _in_time(self._room.acquire(), timeout)
        else:
            await self._room.acquire()
        try:
            if self._closed:
                raise errors.Closed("the client was closed")
            while self._free:
                connection = self._free.pop()
                if not connection.is_closed():
                    return connection
            spent = asyncio.get_running_loop().time() - began
            left = self._connect_timeout if timeout is None else min(self._connect_timeout, timeout - spent)
            return await self._connect(max(left, 0.001))
        except BaseException:
            self._room.release()
            raise

    async def give(self, connection: Connection) -> None:
        self._room.release()
        if self._closed:
            await _farewell(connection)
        elif not connection.is_closed():
            self._free.append(connection)

    async def listener(self, timeout: float) -> Connection:
        return await self._connect(timeout)

    async def drop(self, connection: Connection) -> None:
        connection.terminate()

    async def close(self) -> None:
        self._closed = True
        free, self._free = self._free, []
        for connection in free:
            await _farewell(connection)


async def _farewell(connection: Connection) -> None:
    try:
        await connection.close(timeout=2)
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


class PoolSource:
    """An asyncpg pool of the application's, with the settings that it has. A listener keeps one of its connections."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    async def take(self, timeout: float | None = None) -> Connection:
        acquiring = _reach(self._pool.acquire(), "the server through the given pool")
        connection: Connection = await _in_time(acquiring, timeout)
        return connection

    async def give(self, connection: Connection) -> None:
        await self._pool.release(connection)

    listener = take

    async def drop(self, connection: Connection) -> None:
        connection.terminate()
        await self._pool.release(connection)

    async def close(self) -> None:
        return None


class EngineSource:
    """A SQLAlchemy AsyncEngine of the application's, on asyncpg: the driver's connections out of its pool."""

    def __init__(self, engine: AsyncEngine) -> None:
        if engine.dialect.driver != "asyncpg":
            raise errors.InvalidArgument(
                f"the engine uses {engine.dialect.driver}: pgstate needs postgresql+asyncpg, or give it a dsn"
            )
        self._engine = engine
        self._held: dict[int, AsyncConnection] = {}

    async def take(self, timeout: float | None = None) -> Connection:
        connecting = _reach(self._engine.connect(), "the server through the given engine")
        held: AsyncConnection = await _in_time(connecting, timeout)
        try:
            raw = await _reach(held.get_raw_connection(), "the server through the given engine")
        except BaseException:
            await held.close()
            raise
        connection: Connection = raw.driver_connection
        self._held[id(connection)] = held
        return connection

    async def give(self, connection: Connection) -> None:
        held = self._held.pop(id(connection))
        if connection.is_closed():
            # SQLAlchemy saw no error, and would hand out the broken connection for ever
            await held.invalidate()
        await held.close()

    listener = take

    async def drop(self, connection: Connection) -> None:
        connection.terminate()
        await self.give(connection)

    async def close(self) -> None:
        return None


async def using(source: Source, run: Callable[[Connection], Awaitable[T]], timeout: float | None = None) -> T:
    """Runs something with a connection of a source, which comes within `timeout` seconds."""
    connection = await source.take(timeout)
    try:
        return await run(connection)
    finally:
        await asyncio.shield(source.give(connection))
