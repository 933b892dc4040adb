"""What all views of one client share: connections, queues, the feed reader, the counts."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import zip_longest
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

from pgstate import errors
from pgstate._calls import audit, policies, values
from pgstate._calls._run import Connection
from pgstate._embedding import Embedding, fill
from pgstate._gather import Gatherer, Lane, Operation, Statement, persist
from pgstate._guard import Guard
from pgstate._hub import Hub
from pgstate._source import Source, all_given, using
from pgstate._waker import Waker
from pgstate.types import Info, Row, Stats

T = TypeVar("T")
_log = logging.getLogger("pgstate")

WRITE_LANES = 2
READ_LANES = 2
_PULSE = 1.0
_LAST_PULSE = 1.0  # seconds that closing may wait for it
_MAINTAIN = 10  # pulses
# versions that a step of retention looks at; and the fewest, where that takes longer than a statement may
STEP = 5000
_LEAST_STEP = 50
_EMBED = 256  # entries
_REPORTS = 10  # denials that the audit trail is told at once; then one a second


def smaller_step(step: int, error: Exception) -> int | None:
    """How much to try instead, where a step of retention took too long (a slow disk, a role's statement_timeout)."""
    late = isinstance(error, errors.Timeout) or (isinstance(error, errors.DatabaseError) and error.code == "57014")
    return max(step // 10, _LEAST_STEP) if late and step > _LEAST_STEP else None


class Core:
    """One connected client."""

    def __init__(
        self,
        source: Source,
        info: Info,
        timeout: float,
        embedding: Embedding | None = None,
        agent: str | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.source = source
        self.guard = guard or Guard()
        self.info = info
        self.timeout = timeout
        self.embedding = embedding
        self._embeds_as = agent
        self.stats = Stats()
        self.hub = Hub(source, self.stats, timeout)
        self.closed = False
        self._waker = Waker(source, self.stats, timeout)
        # by the kind of name too: one with a ticket is not the bare one
        self._queues: dict[tuple[str, str | None, type], Gatherer] = {}
        # what the areas keep for all views of this client
        self.kept: dict[object, Any] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._lanes: dict[str | None, list[Lane]] = {}
        self._calls = 0
        self._pulsed = 0
        # updates of one key, which would only run into each other
        self._updates: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._step = STEP
        self._reports: deque[float] = deque(maxlen=_REPORTS)
        self._finished: asyncio.Future[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        # what ends before it closes, as long as it still answers
        self.before_close: list[Callable[[], Awaitable[None]]] = []
        # what closes along with it
        self.at_close: list[Callable[[], Awaitable[None]]] = []
        self.loop = loop = asyncio.get_running_loop()
        self._beats = [loop.create_task(self._beat(), name="pgstate-pulse")]
        if embedding is not None:
            # apart: a model may take minutes
            self._beats.append(loop.create_task(self._fill_up(), name="pgstate-embed"))

    def elsewhere(self) -> Core:
        """Another client of the same database with the same settings, for the event loop that runs now. Raises
        InvalidArgument where the connections are the application's, of its loop."""
        return Core(self.source.elsewhere(), self.info, self.timeout, self.embedding, self._embeds_as, self.guard)

    def writer(self, agent: str | None) -> Gatherer:
        """The queue of an agent's writes. Two agents never share a statement, and so never each other's rights."""
        return self.queue("write", agent, partial(self._write, agent), lanes=WRITE_LANES)

    def reader(self, agent: str | None) -> Gatherer:
        """The queue of an agent's reads. An operation whose arguments are keys reads them all in one statement, and its
        outcome has them as `rows`."""
        return self.queue("read", agent, partial(self._read, agent), lanes=READ_LANES, ordered=False)

    def updater(self, agent: str | None) -> Gatherer:
        """The queue of an agent's writes to several keys each, all or nothing; an operation's arguments are rows as a
        single write's arguments, its outcome has theirs as `rows`. In order for one state."""
        return self.queue("update", agent, partial(self._write_together, agent), lanes=WRITE_LANES)

    def queue(
        self, kind: str, agent: str | None, statement: Statement, *, lanes: int = 1, ordered: bool = True
    ) -> Gatherer:
        """The queue of one kind of an agent's operations, made when it is first asked for."""
        self._check_open()
        self.check_loop()
        found = self._queues.get((kind, agent, type(agent)))
        if found is None:
            found = self._queues[kind, agent, type(agent)] = Gatherer(
                statement, lanes=lanes, ordered=ordered, stats=self.stats, retire=partial(self._end_lane, agent)
            )
        return found

    async def _write(
        self, agent: str | None, batch: Sequence[Operation], lane: Lane, lock_timeout: str, left: float
    ) -> Sequence[Row]:
        waking = len(batch) == 1 and len(batch[0].args) == values.WRITE_COLUMNS and self._waker.wanted

        async def run(connection: Connection) -> Sequence[Row]:
            if waking:
                args = (batch[0].args, lane.id, lane.turn, lock_timeout, agent)
                return [await values.write_and_wake(connection, *args, timeout=left)]
            return await write(connection, [o.args for o in batch], lane, lock_timeout, agent, left)

        rows = await using(self.source, run, left)
        if rows[0]["watched"] and waking:
            self._waker.woken()
        elif rows[0]["watched"]:
            self._waker.wake([o.key for o, row in zip(batch, rows, strict=True) if row["status"] == "ok"], agent)
        return rows

    async def _write_together(
        self, agent: str | None, batch: Sequence[Operation], lane: Lane, lock_timeout: str, left: float
    ) -> Sequence[Row]:
        writes = [row for operation in batch for row in operation.args]
        rows = await using(self.source, lambda c: write_together(c, writes, lane, lock_timeout, agent, left), left)
        if any(row["status"] != "ok" for row in rows):
            if len(batch) > 1:
                raise _Refused
        elif rows[0]["watched"]:
            self._waker.wake([write[1] for write in writes], agent)
        each = iter(rows)
        return [{"rows": [next(each) for _ in operation.args]} for operation in batch]

    async def _read(
        self, agent: str | None, batch: Sequence[Operation], lane: Lane, lock_timeout: str, left: float
    ) -> Sequence[Row]:
        return await using(self.source, lambda c: read(c, [(o.key, o.args) for o in batch], agent, left), left)

    async def call(self, run: Callable[[Connection, float], Awaitable[T]], timeout: float) -> T:
        """Runs a statement that reads, or that may be sent twice, until it is answered or the timeout is over."""
        with self._under_way():
            return await self._persist(run, timeout)

    async def call_once(
        self, run: Callable[[Connection, Lane, float], Awaitable[T]], agent: str | None, timeout: float
    ) -> T:
        """Runs a statement that has effects under a lane, so that sending it again does not do it again."""
        with self._under_way():
            lanes = self._lanes.setdefault(agent, [])
            lane = lanes.pop() if lanes else Lane()
            if (ended := lane.step()) is not None:
                self._end_lane(agent, ended)
            try:
                return await self._persist(lambda c, left: run(c, lane, left), timeout)
            finally:
                lanes.append(lane)

    async def once(self, run: Callable[[Connection], Awaitable[T]], timeout: float) -> T:
        """Runs a statement that must not be sent twice and has no lane, or that a queue sends again itself."""
        return await using(self.source, run, timeout)

    async def fill(self, pattern: str, agent: str | None, timeout: float, limit: int | None) -> int:
        """Embeds entries that wait for vectors of this client's model; returns how many."""
        if self.embedding is None:
            return 0
        return await fill(self.source, self.embedding, pattern, agent, timeout, limit)

    def following(self, what: str) -> Core:
        """The core that can wait for changes: this one."""
        return self

    async def _persist(self, run: Callable[[Connection, float], Awaitable[T]], timeout: float) -> T:
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout
        self.stats.statements += 1
        # what was waited for a connection is not left for the statement
        return await persist(
            lambda left: using(self.source, lambda c: run(c, max(deadline - clock(), 0.001)), left),
            deadline,
            self.stats,
        )

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        self._check_open()
        self.check_loop()
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            if self._finished is not None and self._calls == 0:
                self._finished.set_result(None)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Runs something that outlives its caller; closing waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _end_lane(self, agent: str | None, lane: UUID) -> None:
        async def end() -> None:
            with suppress(errors.PgStateError):
                await using(self.source, lambda c: values.end_lane(c, lane, agent, timeout=self.timeout), self.timeout)

        self.spawn(end())

    def update_lock(self, key: str) -> asyncio.Lock:
        """What the updates of one key take turns by."""
        return self._updates.setdefault(key, asyncio.Lock())

    def wake(self, keys: list[str], agent: str | None) -> None:
        """Wakes watchers of keys that were written outside the queues."""
        self._waker.wake(keys, agent)

    def report_denial(self, asked: str, key: str | None, agent: str | None) -> None:
        """Tells the audit trail of a denial, which has undone the transaction that could have recorded it: in the
        background, and not of all when there are very many."""
        now = self.loop.time()
        if self.closed or (len(self._reports) == _REPORTS and now < self._reports[0] + _REPORTS):
            return
        self._reports.append(now)

        async def report() -> None:
            with suppress(errors.PgStateError):
                await using(
                    self.source,
                    lambda c: audit.report_denial(c, asked, key, agent, timeout=self.timeout),
                    self.timeout,
                )

        self.spawn(report())

    def _check_open(self) -> None:
        if self.closed:
            raise errors.Closed("the client was closed")

    def check_loop(self) -> None:
        """Raises RuntimeError on another event loop, where the caller would wait for ever, and others after it."""
        if asyncio.get_running_loop() is not self.loop:
            raise RuntimeError(
                "a state belongs to the event loop that it was connected in: connect in this one too, or use "
                "pgstate.sync, which works from any thread and loop"
            )

    async def _beat(self) -> None:
        """Expiry versions and points of the feed are written within a second by whichever client is connected; the feed
        reader does it too. Now and then retention takes a step, and the next one soon while it is behind."""
        maintain_in = _MAINTAIN
        while True:
            await asyncio.sleep(_PULSE)
            if not self.hub.reading:
                await self._beat_once(self.timeout)
            maintain_in -= 1
            if maintain_in <= 0:
                maintain_in = 1 if await self._maintain() else _MAINTAIN

    async def _maintain(self) -> bool:
        """One step of retention. Is there more to do?"""
        try:
            done = await using(
                self.source, lambda c: policies.maintain(c, self._step, timeout=self.timeout), self.timeout
            )
        except Exception as error:  # what is the application's, such as hooks of its pool, may raise anything
            _log.info("no retention: %s", error)
            smaller = smaller_step(self._step, error)
            self._step = smaller or self._step
            return smaller is not None
        if not done["more"]:
            self._step = STEP
        return bool(done["more"])

    async def _fill_up(self) -> None:
        """Now and then embeds what waits for it, and the rest soon while there is more."""
        pause = _MAINTAIN
        while True:
            await asyncio.sleep(pause * _PULSE)
            pause = 1 if await self._embed() else _MAINTAIN

    async def _embed(self) -> bool:
        """Embeds some of the entries that wait for it, where this client has a model. Are there more?"""
        if self.embedding is None or (self._embeds_as or self.info.agent) is None:
            return False
        try:
            done = await self.fill("", self._embeds_as, self.timeout, _EMBED)
        except Exception as error:  # the application's function may raise anything; searches by words go on
            _log.warning("no vectors: %s", error)
            return False
        return done == _EMBED

    async def _beat_once(self, timeout: float) -> None:
        writes = self.stats.writes
        try:
            await using(self.source, lambda c: values.expire(c, timeout=timeout), timeout)
        except Exception as error:  # as in _maintain()
            _log.info("no pulse: %s", error)
        else:
            self._pulsed = writes

    async def close(self) -> None:
        """Finishes what is under way, then closes the connections. Whoever calls it again waits for the same end."""
        self.check_loop()
        self.closed = self.closed or not self.before_close
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(), name="pgstate-close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await asyncio.gather(*(end() for end in self.before_close), return_exceptions=True)
        self.closed = True
        for beat in self._beats:
            beat.cancel()
        await asyncio.gather(*self._beats, return_exceptions=True)
        for gatherer in [*self._queues.values()]:
            await gatherer.close()
        if self._calls > 0:
            self._finished = asyncio.get_running_loop().create_future()
            await self._finished
        await asyncio.gather(*(close() for close in self.at_close))
        await self.hub.close()
        await self._waker.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.stats.writes > self._pulsed:
            # who reads the past by time finds these too, though nobody else may be connected to record them
            await self._beat_once(min(self.timeout, _LAST_PULSE))
        await all_given(self.source)
        await self.source.close()


class _Refused(Exception):
    """Nothing of a batch was written, because of one operation: the queue runs each by itself then."""


class NoLane:
    """In place of a Lane, in a transaction of the caller's: to run that again is up to the caller."""

    id = None
    turn = None


async def read(
    connection: Connection, operations: Sequence[tuple[str, tuple[Any, ...]]], agent: str | None, left: float
) -> Sequence[Row]:
    """Reads of keys, or of several keys each, in one statement; a row for each operation."""
    if len(operations) == 1 and not operations[0][1]:
        return [await values.get(connection, operations[0][0], agent, timeout=left)]
    keys = list(dict.fromkeys(key for own, several in operations for key in several or (own,)))
    by_key = dict(zip(keys, await values.get_many(connection, keys, agent, timeout=left), strict=True))
    return [{"rows": [by_key[key] for key in several]} if several else by_key[own] for own, several in operations]


async def write(
    connection: Connection,
    rows: Sequence[Sequence[Any]],
    lane: Lane | NoLane,
    lock_timeout: str | None,
    agent: str | None,
    left: float,
) -> Sequence[Row]:
    """Writes, each by itself, in one statement; a row for each."""
    if len(rows) == 1 and len(rows[0]) == values.WRITE_COLUMNS:
        return [await values.write_one(connection, rows[0], lane.id, lane.turn, lock_timeout, agent, timeout=left)]
    return await values.write_many(connection, by_column(rows), lane.id, lane.turn, lock_timeout, agent, timeout=left)


async def write_together(
    connection: Connection,
    rows: Sequence[Sequence[Any]],
    lane: Lane | NoLane,
    lock_timeout: str | None,
    agent: str | None,
    left: float,
) -> Sequence[Row]:
    """Writes, all or nothing."""
    columns = by_column(rows)
    return await values.write_together(connection, columns, lane.id, lane.turn, lock_timeout, agent, timeout=left)


def by_column(writes: Sequence[Sequence[Any]]) -> list[Sequence[Any] | None]:
    """Arguments of writes by column, None for an optional one that nobody gave."""
    # trust and sources are at the end of those that have any
    columns = [list(column) for column in zip_longest(*writes)]
    return [column if index < 2 or column.count(None) < len(column) else None for index, column in enumerate(columns)]
