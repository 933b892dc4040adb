"""Gathering: concurrent calls of one agent become one statement.

A call enters a queue and waits for its row of the outcome. A lane carries one statement at a time; when a lane is free
it takes what has come together meanwhile, so a caller alone does not wait, and a thousand share a round trip and a
flush.

Writes have an order: operations on one key reach the database in the order of their calls. A batch may hold several of
one key (the database takes them in order); a key of a batch under way parks later operations on it until that is done.

Nothing that goes wrong for one caller touches its neighbours: refused rows come back as rows; a statement that the
database refuses as a whole is run again one operation at a time; one that meets a key which somebody keeps locked is
given up after a moment, and its operations go on apart, key by key and by turns, so that only those of locked keys
wait; a caller that is cancelled or runs out of time leaves, and its operation is dropped, or its outcome is.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast
from uuid import UUID, uuid4

from pgstate import errors
from pgstate._calls._run import ConnectionLost, LockBusy, ReadOnly, Rerun
from pgstate.types import Row, Stats

MAX_BATCH = 256
MAX_BYTES = 4 << 20
MAX_QUEUE = 10_000
LANE_TURNS = 1000
_SHARE = 24
_REAP = 0.1
# How long locks are waited for: by a statement with others behind it, longer than any queue for a busy key should be;
# then apart, where the first turns find out which keys are locked.
LOCK_TIMEOUT = "200ms"
_TURNS = ("20ms", "200ms", "1s")
_SIDE_LANES = 2
_LATE = "no answer in time; if this was a write, it may have happened or not"


class Operation:
    """One call in the queue."""

    __slots__ = ("args", "deadline", "future", "key", "size")

    def __init__(
        self, key: str, args: tuple[Any, ...], size: int, deadline: float, future: asyncio.Future[Row]
    ) -> None:
        self.key = key
        self.args = args
        self.size = size
        self.deadline = deadline
        self.future = future


class Lane:
    """A place for one statement in flight. Its id and turn protect a statement that is sent again."""

    __slots__ = ("id", "turn")

    def __init__(self) -> None:
        self.id: UUID = uuid4()
        self.turn = 0

    def step(self) -> UUID | None:
        """On to the next statement. Under another id now and then: then the one before is returned, whose last
        statement was answered. (While an old snapshot is held open, each lookup of a lane's row passes all that it was
        since: 20,000 statements on they took 20 times as long.)"""
        ended = None
        if self.turn >= LANE_TURNS:
            ended, self.id, self.turn = self.id, uuid4(), 0
        self.turn += 1
        return ended


# operations, lane, lock_timeout, seconds left
Statement = Callable[[Sequence[Operation], Any, Any, float], Awaitable[Sequence[Row]]]
L = TypeVar("L")


async def persist(
    attempt: Callable[[float], Awaitable[L]], deadline: float, stats: Stats, *, patient: bool = True
) -> L:
    """Runs a statement that may safely be sent again until it is answered, or the deadline is over.

    A lost connection and a rollback forced by others are tried again, with back-off and jitter. `attempt` gets the
    seconds that are left. Raises Unreachable or Timeout at the deadline, and LockBusy and ReadOnly at once unless a
    connection was lost before: only without that they mean that nothing was done.
    """
    clock = asyncio.get_running_loop().time
    pause = 0.02
    lost = False
    while True:
        left = deadline - clock()
        if left <= 0:
            raise errors.Timeout(_LATE)
        try:
            return await attempt(left)
        except (ConnectionLost, Rerun, LockBusy, ReadOnly, errors.Unreachable) as error:
            lost = lost or isinstance(error, ConnectionLost)
            if isinstance(error, LockBusy | ReadOnly) and not lost:
                raise
            # after a lost connection it may be the lane that is locked, by the first attempt: still under way; and a
            # standby may have what the first attempt did
            left = deadline - clock()
            if left <= pause or not patient:
                if isinstance(error, LockBusy | ReadOnly):
                    # not as what it is: that would be taken to mean that nothing was done
                    raise errors.Timeout(_LATE) from error
                raise
            stats.retries += 1
            # a deadlock's survivor is done by now; a server that restarts needs longer
            await asyncio.sleep(random.uniform(0, pause if isinstance(error, Rerun | LockBusy) else min(pause, left)))
            pause = min(pause * 2, 1.0)


class Gatherer:
    """A queue of operations of one agent and the lanes that carry them. `ordered` keeps the order per key."""

    def __init__(
        self, statement: Statement, *, lanes: int, ordered: bool, stats: Stats, retire: Callable[[UUID], None]
    ) -> None:
        self._statement = statement
        # told of lanes that have ended
        self._retire = retire
        self._ordered = ordered
        self._stats = stats
        self._queue: deque[Operation] = deque()
        self._parked: dict[str, deque[Operation]] = {}
        self._busy: set[str] = set()
        self._lanes = lanes
        self._idle = [Lane() for _ in range(lanes)]
        # for operations apart: few, so that locked keys do not take all connections; and how many keys are there. A
        # semaphore, because a queue gives a lane back to who has just returned it
        self._side = [Lane() for _ in range(_SIDE_LANES)]
        self._side_room = asyncio.Semaphore(_SIDE_LANES)
        self._apart = 0
        self._quiet: asyncio.Future[None] | None = None
        self._waiting = 0
        self._room: deque[asyncio.Future[None]] = deque()
        # places in the queue that were given to callers who have not taken them yet
        self._given = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: set[Operation] = set()
        self._scheduled = False
        # the last statement carried one operation, and nothing is waiting
        self._alone = True
        self._reaper: asyncio.TimerHandle | None = None
        self._closed = False

    async def submit(self, key: str, args: tuple[Any, ...], size: int, timeout: float) -> Row:
        """Queues an operation and returns its row. Waits for room when the queue is full. Raises Timeout, Closed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        if self._waiting >= MAX_QUEUE or self._room or self._given:
            await self._wait_for_room(loop, timeout)
        if self._closed:
            raise errors.Closed("the client was closed")
        operation = Operation(key, args, size, deadline, loop.create_future())
        if self._alone and self._idle and not self._queue and key not in self._busy:
            # nobody to share with: without the detour over a task
            self._alone = False
            return await self._carry_one(operation)
        self._enqueue(loop, [operation])
        return await operation.future

    def _enqueue(self, loop: asyncio.AbstractEventLoop, operations: Sequence[Operation]) -> None:
        self._waiting += len(operations)
        self._queue.extend(operations)
        if self._idle and not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._dispatch)
        if self._reaper is None:
            self._reaper = loop.call_later(_REAP, self._reap)

    async def submit_all(
        self, operations: Sequence[tuple[str, tuple[Any, ...], int]], timeout: float
    ) -> Sequence[Row | Exception]:
        """`submit` for several (key, arguments, size) at once, each with its row or its error."""
        # the first is not to leave without the others
        self._alone = False
        if self._closed or self._room or self._given or self._waiting + len(operations) > MAX_QUEUE:
            done = await asyncio.gather(*(self.submit(*o, timeout) for o in operations), return_exceptions=True)
        else:
            # as submit() does, without a task for each, which takes as long as all else that is done for it here
            loop = asyncio.get_running_loop()
            deadline = loop.time() + timeout
            queued = [Operation(*o, deadline, loop.create_future()) for o in operations]
            self._enqueue(loop, queued)
            return await _outcomes(queued)
        outcomes: list[Row | Exception] = []
        for outcome in done:
            if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
                raise outcome
            outcomes.append(outcome)
        return outcomes

    async def _carry_one(self, operation: Operation) -> Row:
        lane = self._idle.pop()
        if self._ordered:
            self._busy.add(operation.key)
        apart = False
        try:
            return (await self._run(lane, [operation], LOCK_TIMEOUT))[0]
        except LockBusy:
            apart = True
            self._waiting += 1
            self._under_way.add(operation)
            self._go_apart([operation])
        finally:
            self._alone = not self._queue
            self._release(lane, [] if apart else [operation])
        return await operation.future

    async def _run(self, lane: Lane, batch: Sequence[Operation], lock_timeout: str) -> Sequence[Row]:
        self._stats.statements += 1
        self._stats.largest_batch = max(self._stats.largest_batch, len(batch))
        if (ended := lane.step()) is not None:
            self._retire(ended)
        return await persist(
            lambda left: self._statement(batch, lane, lock_timeout, left), max(o.deadline for o in batch), self._stats
        )

    async def _wait_for_room(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        """Waits in line. Its end is followed by the taking of the place at once: nobody comes between."""
        ticket = loop.create_future()
        self._room.append(ticket)
        try:
            async with asyncio.timeout(timeout):
                await ticket
        except BaseException as error:
            if ticket in self._room:
                self._room.remove(ticket)
            elif not ticket.cancelled() and ticket.exception() is None:
                self._given -= 1
            self._admit()
            if isinstance(error, TimeoutError):
                raise errors.Timeout(
                    f"the queue of {MAX_QUEUE} calls stayed full: the server does not keep up"
                ) from None
            raise
        self._given -= 1

    def _admit(self) -> None:
        while self._room and self._waiting + self._given < MAX_QUEUE:
            ticket = self._room.popleft()
            if not ticket.done():
                self._given += 1
                ticket.set_result(None)

    def _dispatch(self) -> None:
        self._scheduled = False
        while self._idle and self._queue:
            # several free lanes share what is there, so that the server works on one batch while this process does on
            # another; a few operations are not worth two statements
            share = max(_SHARE, -(-len(self._queue) // len(self._idle)))
            batch = self._take(min(share, MAX_BATCH))
            if not batch:
                break
            lane = self._idle.pop()
            self._start(self._carry(lane, batch))
        if self._room:
            self._admit()
        if self._quiet is not None and not self._at_work() and not self._quiet.done():
            self._quiet.set_result(None)

    def _at_work(self) -> bool:
        return bool(self._queue or self._apart or len(self._idle) < self._lanes)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take(self, most: int) -> list[Operation]:
        batch: list[Operation] = []
        keys: set[str] = set()
        size = 0
        while self._queue and len(batch) < most and size < MAX_BYTES:
            operation = self._queue.popleft()
            if operation.future.done():
                self._waiting -= 1
            elif self._ordered and operation.key in self._busy:
                self._parked.setdefault(operation.key, deque()).append(operation)
            else:
                batch.append(operation)
                keys.add(operation.key)
                size += operation.size
        if self._ordered:
            self._busy |= keys
        self._under_way.update(batch)
        return batch

    async def _carry(self, lane: Lane, batch: list[Operation]) -> None:
        apart = False
        try:
            await self._execute(lane, batch, LOCK_TIMEOUT)
        except LockBusy:
            apart = True
            self._go_apart(batch)
        finally:
            if not apart:
                self._leave(batch)
            self._alone = len(batch) == 1 and not self._queue
            self._release(lane, [] if apart else batch)

    def _go_apart(self, batch: Sequence[Operation]) -> None:
        by_key: dict[str, list[Operation]] = {}
        for operation in batch:
            by_key.setdefault(operation.key, []).append(operation)
        self._apart += len(by_key)
        for operations in by_key.values():
            self._start(self._carry_apart(operations))
        if self._reaper is None:
            self._reap()

    async def _carry_apart(self, operations: Sequence[Operation]) -> None:
        """Operations on one key, in order; later ones on it stay parked meanwhile."""
        try:
            for operation in operations:
                turn = 0
                while not operation.future.done():
                    async with self._side_room:
                        lane = self._side.pop()
                        try:
                            if not operation.future.done():
                                await self._execute(lane, [operation], _TURNS[min(turn, len(_TURNS) - 1)])
                        except LockBusy:
                            turn += 1
                        finally:
                            self._side.append(lane)
        finally:
            self._apart -= 1
            self._leave(operations)
            self._unlock(operations)
            self._dispatch()

    def _leave(self, batch: Sequence[Operation]) -> None:
        self._waiting -= len(batch)
        self._under_way.difference_update(batch)

    def _release(self, lane: Lane, batch: Sequence[Operation]) -> None:
        self._idle.append(lane)
        self._unlock(batch)
        self._dispatch()

    def _unlock(self, batch: Sequence[Operation]) -> None:
        if self._ordered:
            for key in {operation.key for operation in batch}:
                self._busy.discard(key)
                if parked := self._parked.pop(key, None):
                    self._queue.extendleft(reversed(parked))

    async def _execute(self, lane: Lane, batch: Sequence[Operation], lock_timeout: str) -> None:
        """Sets the outcomes of a batch. Raises LockBusy, with some of them unset, if a lock was waited for in vain."""
        try:
            rows = await self._run(lane, batch, lock_timeout)
        except asyncio.CancelledError:
            for operation in batch:
                operation.future.cancel()
            raise
        except (errors.Timeout, errors.Unreachable, errors.SchemaError, errors.AccessDenied) as error:
            _fail(batch, error)
        except Exception as error:
            if isinstance(error, LockBusy):
                raise
            if len(batch) == 1:
                _fail(batch, error)
                return
            # refused as a whole, for one operation's sake: nothing was done, and the others need not suffer
            for operation in batch:
                if not operation.future.done():
                    await self._execute(lane, [operation], lock_timeout)
        else:
            for operation, row in zip(batch, rows, strict=True):
                if not operation.future.done():
                    operation.future.set_result(row)

    def _reap(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = errors.Timeout(_LATE)
        for operations in (self._queue, self._under_way, *self._parked.values()):
            _fail([o for o in operations if o.deadline <= now], late)
        self._reaper = loop.call_later(_REAP, self._reap) if self._waiting > 0 else None

    async def close(self) -> None:
        """Refuses new calls and waits until those under way are answered."""
        self._closed = True
        for ticket in self._room:
            if not ticket.done():
                ticket.set_exception(errors.Closed("the client was closed"))
        self._room.clear()
        if self._at_work():
            self._quiet = asyncio.get_running_loop().create_future()
            await self._quiet
        if self._reaper is not None:
            self._reaper.cancel()


async def _outcomes(queued: Sequence[Operation]) -> list[Row | Exception]:
    """What came of each. Without asyncio.gather(), which takes a turn of the loop for each."""
    try:
        for operation in queued:
            if not operation.future.done():
                with suppress(Exception):
                    await operation.future
    except BaseException:
        # nobody waits for the rest any more: what has not been sent is dropped
        for operation in queued:
            operation.future.cancel()
        raise
    # a lane that is cancelled cancels its futures: asking for the outcome raises that
    return [cast(Exception | None, o.future.exception()) or o.future.result() for o in queued]


def _fail(operations: Sequence[Operation], error: Exception) -> None:
    for operation in operations:
        if not operation.future.done():
            operation.future.set_exception(_twin(error))


def _twin(error: Exception) -> Exception:
    """An exception for one caller of several: raising it writes a traceback into it. Not copy.copy(), which calls the
    constructor again, with the message alone."""
    twin = type(error).__new__(type(error), *error.args)
    twin.__dict__.update(error.__dict__)
    twin.__cause__ = error.__cause__
    return twin
