"""One watch: an asynchronous iterator over changes."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from pgstate import errors
from pgstate._areas._detected import inspected, read_or_refuse
from pgstate._calls import feed, values
from pgstate._calls._run import Connection, transaction
from pgstate._core import Core
from pgstate._hub import Tap
from pgstate._json import decode
from pgstate._outage import Outage
from pgstate.detection import Detection
from pgstate.types import TRUST, Change, Row

A = TypeVar("A")

_BUFFER = 2000
_PAGE = 500


class Watch:
    """`async for` over it, or `async with` to begin at once and to end for certain. `cursor` is where it has come.

    An `anext()` that is cancelled loses nothing: the next one goes on with the same change.
    """

    def __init__(
        self,
        core: Core,
        agent: str | None,
        name: str,
        patterns: list[str],
        skip: int,
        timeout: float,
        since: str | None,
        initial: bool,
        denied: Callable[[errors.AccessDenied], errors.AccessDenied],
        min_trust: str | None = None,
    ) -> None:
        if since is not None and initial:
            raise errors.InvalidArgument("since and initial exclude each other: a cursor already has a beginning")
        self._core = core
        self._agent = agent
        self._name = name
        self._patterns = patterns
        self._skip = skip
        self._timeout = timeout
        self._initial = initial
        self._min_trust = min_trust
        # what the hub reads is for every watch
        self._below = frozenset(TRUST[: TRUST.index(min_trust)] if min_trust in TRUST else ())
        # puts a denial into words
        self._denied = denied
        self.cursor = since
        # what was read for the consumer, bookmarks among it; what the hub delivered comes after it
        self._ready: deque[Row] = deque()
        self._buffer: deque[Row] = deque()
        self._overflown = False
        self._arrived = asyncio.Event()
        self._tap: Tap | None = None
        self._dropped: weakref.finalize[..., Watch] | None = None
        # where the hub's delivery begins; what lies before it is read from the feed
        self._upto: str | None = None
        self._error: Exception | None = None
        self._closed = False
        self._awaited = False
        # the hub has delivered to it
        self._begun = False

    async def __aenter__(self) -> Self:
        if self.cursor is None and not self._initial:
            try:
                self.cursor = await self._now()
            except errors.AccessDenied as error:
                raise self._denied(error) from error.__cause__
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        detection = self._core.guard.detection
        while True:
            row = await self._next(detection)
            if row["key"] is not None:
                return Change(row, decode if detection is None else read_or_refuse, self._skip)

    async def _next(self, detection: Detection | None = None) -> Row:
        """The next row, which may be a bookmark: then its key is None. With `detection` as that lets it be read."""
        if self._awaited:
            raise RuntimeError("another task is waiting for this watch's next change: a watch has one consumer")
        self._awaited = True
        try:
            while True:
                if self._closed:
                    raise StopAsyncIteration
                if self._ready:
                    row = self._ready[0]
                    if detection is not None and row["key"] is not None:
                        # as long as this takes it has not been handed out
                        (row,) = await inspected(detection, [row])
                    self._ready.popleft()
                    self.cursor = row["cursor"]
                    return row
                await self._advance()
        except errors.AccessDenied as error:
            raise self._denied(error) from error.__cause__
        finally:
            self._awaited = False

    async def aclose(self) -> None:
        """Ends the watch."""
        self._closed = True
        if self._tap is not None and not self._tap.joined.done():
            self._tap.joined.set_result("")
        self._leave()
        self._arrived.set()

    async def _advance(self) -> None:
        """One step towards more changes. Whatever it awaits, it changes nothing before that is done."""
        if self._error is not None and not self._buffer:
            raise self._error
        if self._initial:
            self._ready.extend(await self._listing())
            self._initial = False
        elif self.cursor is None:
            self.cursor = await self._now()
        elif self._tap is None:
            await self._join()
        elif self._upto is not None:
            page = await self._read_on(self.cursor, self._upto)
            if page and page[-1]["whole"]:
                self._upto = None
            self._ready.extend(page)
        elif self._buffer:
            self._ready, self._buffer = self._buffer, self._ready
        elif self._overflown:
            # the consumer fell behind the buffer, which is read by now: go on reading from the feed itself
            self._leave()
        else:
            self._arrived.clear()
            # the loop holds a waiting task weakly, and the hub this watch: somebody must hold both
            tap = self._tap
            tap.held = self
            try:
                await self._arrived.wait()
            finally:
                tap.held = None

    async def _now(self) -> str:
        # asked of the feed rather than of cursor(): refused at once where the agent may not read
        cursor = await self._core.call(lambda c, left: feed.cursor(c, self._agent, timeout=left), self._timeout)
        await self._page(cursor, None, 1)
        return cursor

    async def _page(self, cursor: str, upto: str | None, limit: int) -> list[Row]:
        page = await self._core.call(
            lambda c, left: feed.changes(
                c, cursor, self._patterns, limit, upto, self._agent, self._min_trust, timeout=left
            ),
            self._timeout,
        )
        self._core.stats.changes += len(page) - 1
        return list(page)

    async def _read_on(self, cursor: str, upto: str) -> list[Row]:
        """A page for a watch that is under way: like the hub, it outlasts a server that is down. Empty if the watch was
        closed meanwhile."""
        pause = 0.05
        outage = Outage("a watch that reads on")
        while not self._closed:
            try:
                page = await self._page(cursor, upto, _PAGE)
            except (errors.Unreachable, errors.Timeout) as error:
                outage.lost(error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
            else:
                outage.over()
                return page
        return []

    async def _join(self) -> None:
        self._core.check_loop()
        tap = Tap(self._name, self._patterns, _weakly(self._deliver))
        tap.broken = _weakly(self._break)
        tap.begins = not self._begun
        self._tap = tap
        # a consumer that just stops iterating ends the watch too
        self._dropped = weakref.finalize(self, self._core.hub.detach, tap)
        self._dropped.atexit = False
        try:
            self._upto = await self._core.hub.attach(tap)
            self._begun = True
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        if self._tap is not None:
            self._core.hub.detach(self._tap)
        if self._dropped is not None:
            self._dropped.detach()
        self._tap = self._dropped = self._upto = None
        self._overflown = False

    def _deliver(self, row: Row) -> None:
        if self._overflown or row["trust"] in self._below:
            return
        if len(self._buffer) >= _BUFFER:
            self._overflown = True
        else:
            self._buffer.append(row)
        self._arrived.set()

    def _break(self, error: Exception) -> None:
        self._error = error
        self._arrived.set()

    async def _listing(self) -> list[Row]:
        """What is there, as changes with op 'entry'. All of it at once: a consumer that takes its time must not hold a
        snapshot of the database meanwhile. Only the last is whole: before it, the cursor leaves entries out."""

        async def read(connection: Connection, left: float) -> tuple[str, dict[str, Row]]:
            found: dict[str, Row] = {}
            cursor = await feed.cursor(connection, self._agent, timeout=left)
            for pattern in self._patterns:
                _, rows = await values.list_(
                    connection, pattern, None, None, self._agent, None, self._min_trust, timeout=left
                )
                found.update((row["key"], row) for row in rows)
            return cursor, found

        cursor, found = await at_one_moment(self._core, read, self._timeout)
        self.cursor = cursor
        last = max(found, default="")
        return [_Listed(found[key], cursor, key == last) for key in sorted(found)]


async def at_one_moment(core: Core, read: Callable[[Connection, float], Awaitable[A]], timeout: float) -> A:
    """Runs statements that read, all of them on one snapshot."""

    async def run(connection: Connection, left: float) -> A:
        async with transaction(connection, left, isolation="repeatable_read", readonly=True):
            return await read(connection, left)

    return await core.call(run, timeout)


def _weakly(method: Callable[[A], None]) -> Callable[[A], None]:
    """A callback for the hub that does not keep alive a watch which its consumer has dropped."""
    reference = weakref.WeakMethod(method)

    def call(argument: A) -> None:
        found = reference()
        if found is not None:
            found(argument)

    return call


class _Listed(dict[str, Any]):
    """An entry of the initial listing, with the columns of a change."""

    def __init__(self, row: Row, cursor: str, whole: bool) -> None:
        super().__init__(row)
        self.update(
            op="entry",
            previous=None,
            created=False,
            at=row["updated_at"] or row["created_at"],
            cursor=cursor,
            whole=whole,
        )
