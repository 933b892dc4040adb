"""Whether cost grows with what is stored: `python -m benchmarks.growth`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import asyncpg

import pgstate
from benchmarks._measure import Comparison, Effort, compare
from benchmarks._run import run
from benchmarks._server import AREAS, Server
from benchmarks._table import Report
from benchmarks.values import TEXT, VALUE
from pgstate import State

_EACH = 4  # versions of a key
_LONG = 100  # of as many versions, one belongs to one and the same key
_LEAST_LONG = 100
_WINDOW = 20  # changes in the window that is read, half of them of that key
_HOT = 200  # keys in use, as many in the small database as in the large one
_TASKS = 64
_BATCH = 500
_WARM = 50
_BUSY = f"{AREAS[0]}/busy"

# Through the API, so that what is measured is what real writes left behind. Keys go round the areas.
_FILL = """
select count(*)
  from pgstate.write_many(
    array_fill('put'::text, array[$2::int]),
    array(select format('space/area-%s/key-%s', lpad((n % $4)::text, 4, '0'), n)
            from generate_series($1, $1 + $2 - 1) n),
    array_fill($3::text::jsonb, array[$2::int]))
 where status = 'ok'
"""


_On = Callable[["Place", int], Awaitable[object]]


@dataclass
class Place:
    """A filled database, used as an agent with 200 grants: `keys` entries of `_EACH` versions and one of `long`."""

    dsn: str
    keys: int
    long: int
    state: State
    cursor: str = ""
    random: random.Random = field(default_factory=lambda: random.Random(7))

    def key(self, number: int) -> str:
        """One of the keys in use, which lie evenly among all."""
        return _name(number % _HOT * (self.keys // _HOT))

    def any_key(self) -> str:
        return _name(self.random.randrange(self.keys))

    async def open_window(self) -> None:
        """Makes the newest changes those that `changes` will read."""
        self.cursor = await self.state.cursor()
        for number in range(_WINDOW):
            await self.state.put(_BUSY if number % 2 else self.key(number), VALUE)


class _Small:
    """The small database. Made anew for each round, because measuring fills it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stack = AsyncExitStack()
        self.place: Place

    async def renew(self) -> None:
        await self.close()
        self.place = await _place(self._stack, self._server, 1000)
        for number in range(_WARM):
            await self.place.state.put(self.place.key(number), VALUE)
            await self.place.state.get(self.place.key(number))

    async def close(self) -> None:
        await self._stack.aclose()


async def measure(server: Server, quick: bool) -> Report:
    """The same calls on a thousand versions and on a million."""
    effort = Effort(3, 0.25) if quick else Effort(7, 0.4)
    versions = 100_000 if quick else 1_000_000
    report = Report("growth: the same calls on few versions and on many", "1,000 versions", f"{versions:,} versions")
    async with AsyncExitStack() as stack:
        large = await _place(stack, server, versions)
        small = _Small(server)
        stack.push_async_callback(small.close)
        await server.settle()
        comparisons = _comparisons(large, small)
        await compare(comparisons, effort, before_round=small.renew)
        grown = await _count(small.place), await _count(large)
        keys = small.place.keys, large.keys
        long = small.place.long, large.long
    for comparison in comparisons:
        report.add(comparison)
    report.notes.append(
        f"{effort}. As an agent with {len(AREAS)} granted subtrees. {_HOT} keys in use on both sides, evenly among "
        f"{keys[0]:,} and {keys[1]:,} keys. History is that of a key with {long[0]:,} and {long[1]:,} versions, "
        "which has half the changes of the window too. The small side is made anew for each round; the last ended with "
        f"{grown[0]:,} versions; the large one with {grown[1]:,}. A put of any key also logs whole pages, touched for "
        "the first time since a checkpoint."
    )
    if quick:
        report.notes.append("The full run has 1,000,000 versions.")
    return report


async def _place(stack: AsyncExitStack, server: Server, versions: int) -> Place:
    database = await stack.enter_async_context(server.database())
    actor = await database.agent("agent", [f"{area}/**" for area in AREAS])
    state = await stack.enter_async_context(pgstate.connect(actor.dsn, agent=actor.name, connections=4))
    long = max(_LEAST_LONG, versions // _LONG)
    place = Place(database.dsn, (versions - long) // _EACH, long, state)
    first = min(place.keys, 2 * _BATCH)
    half = (first + place.keys) // 2
    connection = await asyncpg.connect(place.dsn)
    try:
        await _fill(place.dsn, 0, first)
        # as autovacuum would, were this not so fast
        await connection.execute("analyze")
        await asyncio.gather(_fill(place.dsn, first, half), _fill(place.dsn, half, place.keys))
        await asyncio.gather(*(state.put(_BUSY, VALUE) for _ in range(long)))
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()
    return place


async def _fill(dsn: str, first: int, end: int) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for _ in range(_EACH):
            for start in range(first, end, _BATCH):
                count = min(_BATCH, end - start)
                written = await connection.fetchval(_FILL, start, count, TEXT, len(AREAS))
                assert written == count, f"{written} of {count} written"
    finally:
        await connection.close()


async def _count(place: Place) -> int:
    connection = await asyncpg.connect(place.dsn)
    try:
        count: int = await connection.fetchval("select count(*) from pgstate.versions")
    finally:
        await connection.close()
    return count


def _comparisons(large: Place, small: _Small) -> list[Comparison]:
    def both(name: str, call: _On, at_least: float | None = None, tasks: int = 1) -> Comparison:
        return Comparison(name, lambda n: call(large, n), lambda n: call(small.place, n), tasks, at_least)

    changes = both(f"changes, a window of {_WINDOW}", lambda p, _: p.state.changes(p.cursor, "space/**"), 0.8)
    changes.prepare, changes.prepare_peer = large.open_window, lambda: small.place.open_window()
    return [
        both("put, 1 task", lambda p, n: p.state.put(p.key(n), VALUE), 0.8),
        both("get, 1 task", lambda p, n: p.state.get(p.key(n)), 0.8),
        both("history, newest 100 of a key", lambda p, _: p.state.history(_BUSY, limit=100), 0.8),
        changes,
        both("put of any key, 1 task", lambda p, _: p.state.put(p.any_key(), VALUE)),
        # last, as it adds most
        both(f"put, {_TASKS} tasks", lambda p, n: p.state.put(p.key(n), VALUE), 0.8, _TASKS),
    ]


def _name(number: int) -> str:
    return f"{AREAS[number % len(AREAS)]}/key-{number}"


if __name__ == "__main__":
    run([measure], __doc__)
