"""The one reader of the change feed in a process, for any number of watches of any of its agents.

It keeps a connection that listens on a channel of its own, reads the feed when woken and once a second anyway, and
hands each change to the watches that it matches. A watch that starts elsewhere in the feed reads up to the hub's
position by itself and then joins, exactly: the hub names its position, a snapshot, as the end of that reading.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import asyncpg

from pgstate import errors
from pgstate._calls import feed
from pgstate._calls._run import Connection, ReadOnly, translate
from pgstate._calls._tickets import Ticketed
from pgstate._keys import matcher
from pgstate._outage import Outage
from pgstate._source import Source, using
from pgstate.types import Row, Stats

_log = logging.getLogger("pgstate")

_POLL = 1.0
_SETTLE_POLL = 0.02
_SETTLE_LIMIT = 5.0
_PAGE = 1000
_REGISTER = 30.0
_LEAST_INTERVAL = 0.002
_LINGER = 10.0
# how long the end of a registration may take
_FAREWELL = 1.0


class Tap:
    """What a watch hangs into the hub: agent, patterns, and where changes go."""

    __slots__ = ("agent", "begins", "broken", "deliver", "held", "joined", "matches", "patterns", "split", "woken")

    def __init__(
        self,
        agent: str,
        patterns: list[str],
        deliver: Callable[[Row], None],
        woken: Callable[[], None] | None = None,
    ) -> None:
        self.agent = agent
        self.patterns = patterns
        self.matches = [matcher(pattern) for pattern in patterns]
        self.deliver = deliver
        self.woken = woken
        # set to the hub's position at which this tap begins to receive
        self.joined: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        # it got changes of a transaction that may go on
        self.split = False
        self.broken: Callable[[Exception], None] | None = None
        # told when the feed is not served here, which those under way outlast
        self.begins = False
        # what must live as long as this tap
        self.held: object = None

    def wants(self, row: Row) -> bool:
        key = row["key"]
        return row["agent"] == self.agent and any(matches(key) for matches in self.matches)


class Hub:
    """Started by its first tap; goes on for a while after its last one has left."""

    def __init__(self, source: Source, stats: Stats, timeout: float) -> None:
        self._source = source
        self._stats = stats
        self._timeout = timeout
        self._taps: set[Tap] = set()
        self._joining: list[Tap] = []
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        # where the taps that have joined have come to; kept across lost connections
        self._position: str | None = None
        self._closed = False
        self._outage = Outage("the feed reader")
        self._told_read_only = False

    @property
    def reading(self) -> bool:
        """Somebody watches, so the feed is read at least once a second."""
        return bool(self._taps)

    async def attach(self, tap: Tap) -> str:
        """Adds a tap and returns the hub's position, which is not before this call: what comes later is delivered."""
        if self._closed:
            raise errors.Closed("the client was closed")
        self._joining.append(tap)
        self._woken.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="pgstate-feed")
        try:
            return await tap.joined
        except asyncio.CancelledError:
            self.detach(tap)
            raise

    def detach(self, tap: Tap) -> None:
        """Removes a tap; nothing is delivered to it any more."""
        self._taps.discard(tap)
        if tap in self._joining:
            self._joining.remove(tap)

    async def close(self) -> None:
        """Ends the reading. Watches that are open get Closed."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._break(errors.Closed("the client was closed"))

    def _break(self, error: Exception, agent: str | None = None) -> None:
        taps = [*self._taps, *self._joining]
        if agent is not None:
            # by the kind of name too: one with a ticket is not the bare one
            taps = [tap for tap in taps if (tap.agent, type(tap.agent)) == (agent, type(agent))]
        self._end(taps, error)

    def _end(self, broken: Sequence[Tap], error: Exception) -> None:
        for tap in broken:
            self.detach(tap)
            if not tap.joined.done():
                tap.joined.set_exception(error)
            elif tap.broken is not None:
                tap.broken(error)

    async def _run(self) -> None:
        pause = 0.05
        while True:
            reader: _Reader | None = None
            try:
                reader = _Reader(self, await self._source.listener(self._timeout))
                await reader.follow()
                pause = 0.05
            except (
                errors.AccessDenied,
                errors.Unreachable,
                errors.Timeout,
                errors.FeedUnavailable,
                errors.DatabaseError,
            ) as error:
                if isinstance(error, errors.AccessDenied):
                    # told to the watches that it ends
                    await self._break_denied(error)
                    _log.debug("the feed reader begins anew: %s", error)
                else:
                    self._outage.lost(error)
                    if isinstance(error, errors.FeedUnavailable):
                        self._end([tap for tap in self._joining if tap.begins], error)
                pause = 0.05 if reader is not None and reader.has_read else min(pause * 2, 2.0)
                await asyncio.sleep(pause)
            except errors.CursorExpired as error:
                # theirs; where those that join begin is still to be said
                self._position = None
                self._end([*self._taps], error)
            except Exception as error:
                self._position = None
                self._break(error)
            finally:
                if reader is not None:
                    leaving = asyncio.ensure_future(reader.leave())
                    try:
                        await asyncio.shield(leaving)
                    except asyncio.CancelledError:
                        # who closes the client waits for this, and leaves no connection
                        await leaving
                        raise
            if not self._taps and not self._joining:
                self._position = None
                return

    async def _break_denied(self, error: Exception) -> None:
        """One agent that this login may no longer act for must not end the watches of the others."""
        for agent in _asking([*self._taps, *self._joining]).values():
            try:
                await using(self._source, partial(_ask, agent=agent, timeout=self._timeout), self._timeout)
            except errors.AccessDenied:
                self._break(error, agent)
            except errors.PgStateError as other:
                _log.info("%s", other)


class _Reader:
    """The reading over one connection."""

    def __init__(self, hub: Hub, connection: Connection) -> None:
        self._hub = hub
        self._connection = connection
        self._timeout = hub._timeout
        self._channel: str | None = None
        self.has_read = False
        self._registered: tuple[list[str], list[str]] = ([], [])
        self._registered_at = 0.0
        self._settle_until = 0.0
        self._settle_at = 0
        # sessions only read, by a setting or on a standby: until when it is not tried again to register, or to expire
        self._only_reads_until = 0.0

    def _heard(self, *_: Any) -> None:
        self._hub._stats.wakeups_received += 1
        self._hub._woken.set()

    def _lost(self, _: Any) -> None:
        self._hub._woken.set()

    async def leave(self) -> None:
        """Ends the registration, so that nobody goes on sending wake-ups, and the connection."""
        try:
            # a courtesy: registrations end by themselves
            if self._channel is not None and not self._connection.is_closed():
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(_FAREWELL):
                        await feed.unsubscribe(self._connection, self._channel, timeout=_FAREWELL)
        finally:
            await self._hub._source.drop(self._connection)

    async def follow(self) -> None:
        """Reads and delivers until nobody has been watching for a while. Raises what ends the connection."""
        hub, loop = self._hub, asyncio.get_running_loop()
        self._connection.add_termination_listener(self._lost)
        next_poll = loop.time() + _POLL
        while True:
            if not hub._taps and not hub._joining:
                hub._position = None
                if not await self._woken_within(_LINGER) and not hub._joining:
                    return
                hub._woken.clear()
                continue
            began = loop.time()
            due = began >= next_poll
            if due:
                next_poll = began + _POLL
            woken = hub._woken.is_set()
            hub._woken.clear()
            settling = self._settle_until > 0
            read = await self._step(expire=due)
            # a wake-up that no change explains is a release, which makes no version; one may have been missed while the
            # registration was new
            if (woken and not read) or (settling and self._settle_until == 0):
                for tap in list(hub._taps):
                    if tap.woken is not None:
                        tap.woken()
            if self._connection.is_closed():
                raise errors.Unreachable("the listening connection was lost")
            await self._woken_within(_SETTLE_POLL if self._settle_until > 0 else max(next_poll - loop.time(), 0.001))
            # under load one read serves the wake-ups of a few milliseconds
            if (early := began + _LEAST_INTERVAL - loop.time()) > 0:
                await asyncio.sleep(early)

    async def _woken_within(self, limit: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._hub._woken.wait()
        return self._hub._woken.is_set()

    async def _step(self, *, expire: bool) -> int:
        """Registers if need be, reads what is new, and takes on the taps that came before the reading began. Returns
        how many changes there were."""
        hub, loop = self._hub, asyncio.get_running_loop()
        joining = list(hub._joining)
        wanted = _wanted([*hub._taps, *joining])
        # without ears: nobody needs to send what is not heard
        hears = hub._source.hears and not self._only_reads()
        if hears and (wanted != self._registered or loop.time() - self._registered_at > _REGISTER):
            try:
                await self._register(wanted)
            except ReadOnly:
                self._refused()
        settled = False
        if self._settle_until > 0:
            # asked before the reading, which then sees what ended until now
            oldest, _ = await feed.horizon(self._connection, timeout=self._timeout)
            settled = oldest >= self._settle_at or loop.time() > self._settle_until
        read = await self._read(wanted, expire=expire)
        self.has_read = True
        hub._outage.over()
        for tap in joining:
            # its caller may have been cancelled without having left yet
            if tap in hub._joining and not tap.joined.done() and hub._position is not None:
                hub._joining.remove(tap)
                hub._taps.add(tap)
                tap.joined.set_result(hub._position)
        if settled:
            self._settle_until = 0.0
        return read

    async def _register(self, wanted: tuple[list[str], list[str]]) -> None:
        channel = await feed.subscribe(self._connection, *wanted, self._channel, timeout=self._timeout)
        if channel != self._channel:
            try:
                async with asyncio.timeout(self._timeout):
                    await self._connection.add_listener(channel, self._heard)
            except (
                TimeoutError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
                OSError,
            ) as error:
                raise translate(error) from error
            self._channel = channel
        if set(zip(*wanted, strict=True)) - set(zip(*self._registered, strict=True)):
            # a writer that is under way may not have seen the registration: read often until it has ended
            _, self._settle_at = await feed.horizon(self._connection, timeout=self._timeout)
            self._settle_until = asyncio.get_running_loop().time() + _SETTLE_LIMIT
        self._registered = wanted
        self._registered_at = asyncio.get_running_loop().time()

    def _only_reads(self) -> bool:
        return asyncio.get_running_loop().time() < self._only_reads_until

    def _refused(self) -> None:
        self._only_reads_until = asyncio.get_running_loop().time() + _REGISTER
        if not self._hub._told_read_only:
            self._hub._told_read_only = True
            _log.warning("watches ask once a second: sessions only read (default_transaction_read_only, a standby)")

    async def _read(self, wanted: tuple[list[str], list[str]], *, expire: bool) -> int:
        hub = self._hub
        if hub._position is None:
            hub._position = await feed.cursor(self._connection, wanted[0][0], timeout=self._timeout)
            return 0
        more = True
        read = 0
        while more:
            try:
                *rows, bookmark = await feed.changes_for(
                    self._connection,
                    hub._position,
                    *wanted,
                    _PAGE,
                    expire and not self._only_reads(),
                    timeout=self._timeout,
                )
            except ReadOnly:
                if not expire or self._only_reads():
                    raise
                self._refused()
                continue
            expire = False
            hub._stats.changes += len(rows)
            read += len(rows)
            for tap in list(hub._taps):
                wanted_rows = [row for row in rows if tap.wants(row)]
                if wanted_rows and bookmark["whole"]:
                    # a transaction that goes on with rows for other taps has ended for this one
                    wanted_rows[-1] = {**wanted_rows[-1], "whole": True}
                for row in wanted_rows:
                    tap.deliver(row)
                if wanted_rows:
                    tap.split = not wanted_rows[-1]["whole"]
                elif tap.split and bookmark["whole"]:
                    # it went on with changes for other taps alone, and has ended: nothing else would tell
                    tap.split = False
                    tap.deliver(bookmark)
            hub._position = bookmark["cursor"]
            more = not bookmark["whole"]
        return read


def _wanted(taps: list[Tap]) -> tuple[list[str], list[str]]:
    pairs = sorted({(tap.agent, pattern) for tap in taps for pattern in tap.patterns})
    asking = _asking(taps)
    return [asking[agent] for agent, _ in pairs], [pattern for _, pattern in pairs]


def _asking(taps: list[Tap]) -> dict[str, str]:
    """The agents that watch, as the database is asked for them: with a ticket where anybody has one. Who has none has
    read what came before by its bare name."""
    if Ticketed.used:
        taps = sorted(taps, key=lambda tap: type(tap.agent) is Ticketed)
    return {tap.agent: tap.agent for tap in taps}


async def _ask(connection: Connection, agent: str, timeout: float) -> None:
    await feed.cursor(connection, agent, timeout=timeout)
