"""What a Core is to the areas, inside a transaction of the caller's: every call is a statement on that connection, at
once, without a lane, and watchers are woken by the database when the transaction commits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn, TypeAlias, TypeVar
from weakref import WeakValueDictionary

from pgstate import errors
from pgstate._calls._run import Connection, translate
from pgstate._core import NoLane, read, write, write_together
from pgstate._embedding import Embedding
from pgstate._gather import MAX_BATCH, Operation, Statement
from pgstate._guard import Guard
from pgstate._links import Link
from pgstate.types import Row, Stats

T = TypeVar("T")
_Operation: TypeAlias = tuple[str, tuple[Any, ...]]

_NO_LANE = NoLane()


class BoundCore:
    """Statements on one connection of the caller's, one after the other."""

    # which login the connection has is not asked: that would be one more statement, in vain after an error
    info = None

    def __init__(self, link: Link, embedding: Embedding | None = None, guard: Guard | None = None) -> None:
        self.embedding = embedding
        self.guard = guard or Guard()
        self.stats = Stats()
        # what the areas keep for this transaction
        self.kept: dict[object, Any] = {}
        self._link = link
        self._turn = asyncio.Lock()
        self._updates: WeakValueDictionary[str, asyncio.Lock] | None = None

    def reader(self, agent: str | None) -> Queue:
        """Where an agent's reads go."""
        return Queue(self, lambda c, operations, left: read(c, operations, agent, left))

    def writer(self, agent: str | None) -> Queue:
        """Where an agent's writes go. Locks are waited for as the caller's transaction says."""

        async def run(connection: Connection, operations: Sequence[_Operation], left: float) -> Sequence[Row]:
            return await write(connection, [args for _, args in operations], _NO_LANE, None, agent, left)

        return Queue(self, run)

    def updater(self, agent: str | None) -> Queue:
        """Where an agent's writes to several keys each go, all or nothing."""

        async def run(connection: Connection, operations: Sequence[_Operation], left: float) -> Sequence[Row]:
            ((_, rows),) = operations
            return [{"rows": await write_together(connection, rows, _NO_LANE, None, agent, left)}]

        return Queue(self, run)

    def queue(
        self, kind: str, agent: str | None, statement: Statement, *, lanes: int = 1, ordered: bool = True
    ) -> Single:
        """Where operations of other kinds go: each is a statement."""
        return Single(statement)

    async def call(self, run: Callable[[Connection, float], Awaitable[T]], timeout: float) -> T:
        """Runs statements."""
        return await self.once(lambda c: run(c, timeout), timeout)

    async def call_once(
        self, run: Callable[[Connection, NoLane, float], Awaitable[T]], agent: str | None, timeout: float
    ) -> T:
        """Runs a statement that has effects."""
        return await self.once(lambda c: run(c, _NO_LANE, timeout), timeout)

    async def once(self, run: Callable[[Connection], Awaitable[T]], timeout: float) -> T:
        """Runs statements, each for `timeout` seconds at most, when those before them are done."""
        async with self._turn:
            self.stats.statements += 1
            try:
                async with asyncio.timeout(timeout):
                    statements = await self._link.statements()
            except TimeoutError as error:
                raise translate(error) from error
            return await run(statements)

    async def fill(self, pattern: str, agent: str | None, timeout: float, limit: int | None) -> int:
        """Embeds nothing: a model is slow, and the transaction open. A client does it after the commit."""
        return 0

    def update_lock(self, key: str) -> asyncio.Lock:
        """What the updates of one key take turns by."""
        if self._updates is None:
            self._updates = WeakValueDictionary()
        return self._updates.setdefault(key, asyncio.Lock())

    def wake(self, keys: list[str], agent: str | None) -> None:
        """Nothing: the database does it."""

    def report_denial(self, asked: str, key: str | None, agent: str | None) -> None:
        """Nothing: a denial that is raised has aborted the transaction."""

    def following(self, what: str) -> NoReturn:
        """Raises InTransaction."""
        raise errors.InTransaction(
            f"{what}: not inside a transaction, which would never see it; use the state that was bound"
        )


class Queue:
    """In place of a Gatherer: operations run at once, several of one call in one statement."""

    def __init__(
        self, core: BoundCore, run: Callable[[Connection, Sequence[_Operation], float], Awaitable[Sequence[Row]]]
    ) -> None:
        self._core = core
        self._run = run

    async def submit(self, key: str, args: tuple[Any, ...], size: int, timeout: float) -> Row:
        """Runs one operation and returns its row."""
        return (await self._core.once(lambda c: self._run(c, [(key, args)], timeout), timeout))[0]

    async def submit_all(self, operations: Sequence[tuple[str, tuple[Any, ...], int]], timeout: float) -> Sequence[Row]:
        """Runs several and returns their rows."""
        rows: list[Row] = []
        for start in range(0, len(operations), MAX_BATCH):
            batch = [(key, args) for key, args, _ in operations[start : start + MAX_BATCH]]
            rows += await self._core.once(lambda c, batch=batch: self._run(c, batch, timeout), timeout)  # type: ignore[misc]
            self._core.stats.largest_batch = max(self._core.stats.largest_batch, len(batch))
        return rows


class Single:
    """In place of a Gatherer, for a statement that finds its connection by `once`."""

    def __init__(self, statement: Statement) -> None:
        self._statement = statement

    async def submit(self, key: str, args: tuple[Any, ...], size: int, timeout: float) -> Row:
        """Runs one operation and returns its row."""
        return (await self.submit_all([(key, args, size)], timeout))[0]

    async def submit_all(self, operations: Sequence[tuple[str, tuple[Any, ...], int]], timeout: float) -> Sequence[Row]:
        """Runs several and returns their rows."""
        loop = asyncio.get_running_loop()
        batch = [Operation(*operation, loop.time() + timeout, loop.create_future()) for operation in operations]
        return await self._statement(batch, _NO_LANE, None, timeout) if batch else []
