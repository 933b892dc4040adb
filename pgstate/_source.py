"""Where connections come from: an address, a pool or an engine that the application has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import asyncpg

from pgstate import errors
from pgstate._address import driver_address, open_connection, unreachable
from pgstate._calls import pooler
from pgstate._calls._run import Connection, translate

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")
_log = logging.getLogger("pgstate")

# seconds that a connection may take to be ready for others, or to end
_RETURN = 1.0


class Source(Protocol):
    """Connections for statements, each used for one at a time, and one apart for listening."""

    @property
    def hears(self) -> bool:
        """Whether a listener hears notifications. Known once there was one."""

    async def take(self, timeout: float | None = None) -> Connection:
        """A connection to run statements on; waits while all are in use, for `timeout` seconds. Raises Unreachable,
        Timeout, Closed."""

    async def give(self, connection: Connection) -> None:
        """Hands a connection back; also if this is cancelled meanwhile."""

    async def listener(self, timeout: float) -> Connection:
        """A connection that is kept for LISTEN, and given up with `drop`. Raises Unreachable, Timeout, and
        InvalidArgument if it leads elsewhere than the others."""

    async def drop(self, connection: Connection) -> None:
        """Ends a listening connection: nobody after it shall hear what it listened to."""

    async def close(self) -> None:
        """Closes what this source opened itself."""

    def elsewhere(self) -> Source:
        """Another source of the same connections, for another event loop. Raises InvalidArgument if there is none."""


def _let_go(opening: asyncio.Task[Connection]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().terminate()


async def reach(connecting: Awaitable[Any], what: str) -> Any:
    """A connection when it has been made. Raises Unreachable, AccessDenied."""
    try:
        return await connecting
    except (TimeoutError, OSError, ValueError, asyncpg.InterfaceError, asyncpg.PostgresError) as error:
        known = translate(error)
        if isinstance(known, errors.AccessDenied):
            raise known from error
        raise unreachable(what, error) from error


async def _in_time(waiting: Awaitable[T], timeout: float | None) -> T:
    try:
        async with asyncio.timeout(timeout):
            return await waiting
    except TimeoutError:
        raise errors.Timeout(_NONE_FREE) from None


_NONE_FREE = "no connection came free in time: all are in use (a watch keeps one)"


class AddressSource:
    """Connections of our own. They are kept without asyncpg's pool, whose release costs a task and a round trip each
    time: nothing that this client does outlives its transaction, so there is nothing to reset."""

    hears = True

    def __init__(self, dsn: str, *, size: int, connect_timeout: float) -> None:
        driver_address(dsn)
        self._dsn = dsn
        self._size = size
        self._names = True
        self._connect_timeout = connect_timeout
        self._free: list[Connection] = []
        self._room = asyncio.Semaphore(size)
        self._closed = False

    def use_no_names(self) -> None:
        """Connections opened from now on give statements no names, as a pooler needs that does not keep them."""
        self._names = False

    async def _connect(self, timeout: float) -> Connection:
        # Nothing of the first caller is kept: what reads from the socket, and what would end the life of a statement,
        # stays in the context that it was made in, and holds all that is there, such as a run of a LangGraph graph.
        settings = {"max_cached_statement_lifetime": 0} if self._names else {"statement_cache_size": 0}
        opening = open_connection(self._dsn, timeout=timeout, **settings)
        apart = asyncio.get_running_loop().create_task(opening, context=Context())
        try:
            connection: Connection = await reach(apart, "the server")
        except BaseException:
            # cancelled when it was there already
            apart.add_done_callback(_let_go)
            raise
        if not self._names:
            try:
                await pooler.learn_types(connection, timeout=timeout)
            except BaseException:
                connection.terminate()
                raise
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
            await asyncio.shield(_farewell(connection))
        elif not connection.is_closed():
            self._free.append(connection)

    async def listener(self, timeout: float) -> Connection:
        return await self._connect(timeout)

    async def drop(self, connection: Connection) -> None:
        connection.terminate()

    async def close(self) -> None:
        self._closed = True
        free, self._free = self._free, []
        await asyncio.gather(*map(_farewell, free))

    def elsewhere(self) -> Source:
        source = AddressSource(self._dsn, size=self._size, connect_timeout=self._connect_timeout)
        source._names = self._names
        return source


async def _farewell(connection: Connection) -> None:
    try:
        await connection.close(timeout=_RETURN)
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


class PoolSource:
    """An asyncpg pool of the application's, with the settings that it has. A listener keeps one of its connections."""

    hears = True

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    async def take(self, timeout: float | None = None) -> Connection:
        acquiring = reach(self._pool.acquire(), "the server through the given pool")
        connection: Connection = await _in_time(acquiring, timeout)
        return connection

    async def give(self, connection: Connection) -> None:
        # it resets the connection, for which a server that is gone would be waited for; the pool ends it then
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await self._pool.release(connection, timeout=_RETURN)

    listener = take

    async def drop(self, connection: Connection) -> None:
        connection.terminate()
        await self.give(connection)

    async def close(self) -> None:
        return None

    def elsewhere(self) -> Source:
        raise errors.InvalidArgument(_OF_ONE_LOOP)


class EngineSource:
    """A SQLAlchemy AsyncEngine of the application's, on asyncpg: the driver's connections out of its pool."""

    hears = True

    def __init__(self, engine: AsyncEngine) -> None:
        if engine.dialect.driver != "asyncpg":
            raise errors.InvalidArgument(
                f"the engine uses {engine.dialect.driver}: pgstate needs postgresql+asyncpg, or give it a dsn"
            )
        self._engine = engine
        self._held: dict[int, AsyncConnection] = {}

    async def take(self, timeout: float | None = None) -> Connection:
        held: AsyncConnection = await _in_time(self._reach(self._engine.connect()), timeout)
        try:
            raw = await self._reach(held.get_raw_connection())
        except BaseException:
            await held.close()
            raise
        connection: Connection = raw.driver_connection
        self._held[id(connection)] = held
        return connection

    async def _reach(self, connecting: Awaitable[Any]) -> Any:
        from sqlalchemy import exc

        try:
            return await reach(connecting, "the server through the given engine")
        except exc.TimeoutError as error:
            # the engine's own pool_timeout, which may be shorter
            raise errors.Timeout(_NONE_FREE) from error
        except exc.SQLAlchemyError as error:
            raise errors.Unreachable(f"cannot connect to the server through the given engine: {error}") from error

    async def give(self, connection: Connection) -> None:
        await asyncio.shield(self._give(connection))

    async def _give(self, connection: Connection) -> None:
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

    def elsewhere(self) -> Source:
        raise errors.InvalidArgument(_OF_ONE_LOOP)


_OF_ONE_LOOP = (
    "a pool or an engine belongs to one event loop, so that this state serves no other and no synchronous calls beside "
    "it: connect with a dsn"
)


class RoutedSource:
    """A source for statements, and one for listening: the same if that hears, though it lead through a pooler."""

    def __init__(self, source: Source, listening: Source) -> None:
        self._source = source
        self._listening = listening
        self._hears: bool | None = None
        self.take = source.take
        self.give = source.give
        self.drop = listening.drop

    @property
    def hears(self) -> bool:
        return self._hears is not False

    async def listener(self, timeout: float) -> Connection:
        connection = await self._listening.listener(timeout)
        try:
            if self._hears is None and not await self._works(connection, timeout):
                await self.drop(connection)
                connection = await self._listening.listener(timeout)
            if self._hears is None:
                self._hears = await self._examine(connection, timeout)
                if not self._hears:
                    _log.warning("watches ask once a second: %s", _DEAF)
        except BaseException:
            await asyncio.shield(self.drop(connection))
            raise
        return connection

    async def _works(self, connection: Connection, timeout: float) -> bool:
        """Whether a connection to listen on runs statements as it is; if not, the next one will."""
        if self._listening is self._source or not isinstance(self._listening, AddressSource):
            return True
        if not await pooler.leads_through(connection, timeout=timeout):
            return True
        if await pooler.keeps_statements(connection, timeout=timeout):
            return True
        self._listening.use_no_names()
        return False

    async def _examine(self, connection: Connection, timeout: float) -> bool:
        if self._listening is not self._source:
            here = await using(self._source, lambda other: pooler.place(other, timeout=timeout), timeout)
            if await pooler.place(connection, timeout=timeout) != here:
                raise errors.InvalidArgument("listen_dsn leads to another database than the address for statements")
        if not await pooler.leads_through(connection, timeout=timeout):
            return True
        return await using(
            self._listening, lambda other: pooler.has_session(connection, other, timeout=timeout), timeout
        )

    async def close(self) -> None:
        await self._source.close()
        if self._listening is not self._source:
            await self._listening.close()

    def elsewhere(self) -> Source:
        source = self._source.elsewhere()
        return RoutedSource(source, source if self._listening is self._source else self._listening.elsewhere())


_DEAF = (
    "their connection leads through a pooler in transaction mode, where LISTEN hears nothing. "
    "Give connect(listen_dsn=…) or PGSTATE_LISTEN_DSN an address of the server itself"
)


async def examined(source: Source, listening: Source | None, timeout: float) -> Source:
    """The source as it has to be used, which its first connection tells. Raises InvalidArgument for connections that
    cannot be used through their pooler."""

    async def through(connection: Connection) -> bool:
        if not await pooler.leads_through(connection, timeout=timeout):
            return False
        if not await pooler.keeps_statements(connection, timeout=timeout):
            if isinstance(source, AddressSource):
                source.use_no_names()
                connection.terminate()
            elif not await using(source, lambda c: pooler.has_session(connection, c, timeout=timeout), timeout):
                raise errors.InvalidArgument(_NAMES)
        return True

    if not await using(source, through, timeout):
        return source if listening is None else RoutedSource(source, listening)
    return RoutedSource(source, listening or source)


_NAMES = (
    "the connections of this pool or engine prepare statements by name, and lead through a pooler in transaction mode "
    "that does not keep them: give asyncpg statement_cache_size=0 (an engine: connect_args), "
    "or PgBouncer 1.21 or later max_prepared_statements"
)


async def using(source: Source, run: Callable[[Connection], Awaitable[T]], timeout: float | None = None) -> T:
    """Runs something with a connection of a source, which comes within `timeout` seconds."""
    connection = await source.take(timeout)
    # without a task for what most often takes no time: that is a tenth of a small call
    try:
        done = await run(connection)
    except (asyncio.CancelledError, errors.Timeout):
        returning = asyncio.get_running_loop().create_task(_settle(source, connection), name="pgstate-settle")
        _returning[returning] = source
        returning.add_done_callback(_returning.pop)
        raise
    except BaseException:
        await source.give(connection)
        raise
    await source.give(connection)
    return done


async def all_given(source: Source) -> None:
    """Waits for the connections of statements that were cut short."""
    await asyncio.gather(*(task for task, own in _returning.items() if own is source), return_exceptions=True)


# connections of statements that were cut short, on their way back
_returning: dict[asyncio.Task[None], Source] = {}


async def _settle(source: Source, connection: Connection) -> None:
    """Hands back the connection of a statement that was cut short. It may be half sent, prepared and no more: its
    transaction then stays open until the session hears of something else. Or the server does not answer, and the next
    user would wait for the end of it (asyncpg before 0.32 without a limit)."""
    try:
        async with asyncio.timeout(_RETURN):
            await connection.execute("select")
    except Exception:
        # ended already, it is no longer this client's
        with suppress(asyncpg.InterfaceError):
            connection.terminate()
    finally:
        await source.give(connection)
