"""Reading the past beside the present, and going back among few versions and many: `python -m benchmarks.history`."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import datetime

import asyncpg

import pgstate
from benchmarks._measure import Comparison, Effort, compare
from benchmarks._run import run
from benchmarks._server import AREAS, Server
from benchmarks._table import Report
from benchmarks.values import TEXT, VALUE
from pgstate import State

_KEYS = 1000
_FEW = 10  # versions of each of the small histories
_SMALL = 50  # of these: one for each measurement, in which it gets hundreds
_BATCH = 1000
# How many of the listed keys changed since, and how often each.
_CHANGES = [
    ("none changed since", 0, 0),
    ("100 changed since", 100, 1),
    ("all changed since", _KEYS, 1),
    ("all changed 20 times since", _KEYS, 20),
]

_PUT = """
select count(*) from pgstate.write_many(array_fill('put'::text, array[cardinality($1::text[])]), $1::text[],
                                        array_fill($2::text::jsonb, array[cardinality($1::text[])]))
 where status = 'ok'
"""


async def measure(server: Server, quick: bool) -> Report:
    """get and list as of a cursor or a time, and rollback to a version and to a cursor."""
    effort = Effort(3, 0.25) if quick else Effort(7, 0.5)
    versions = 100_000 if quick else 1_000_000
    report = Report("history: the past, 200 bytes each", "the present, or 10 versions")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(server.database())
        actor = await database.agent("agent", [f"{subtree}/**" for subtree in [*AREAS, "list", "small", "large"]])
        state = await stack.enter_async_context(pgstate.connect(actor.dsn, agent=actor.name))
        connection = await asyncpg.connect(database.dsn)
        stack.push_async_callback(connection.close)
        comparisons = await _past(connection, state)
        comparisons += await _back(connection, state, versions)
        await connection.execute("vacuum analyze")
        await server.settle()
        await compare(comparisons, effort)
    for comparison in comparisons:
        report.add(comparison)
    report.notes.append(
        f"{effort}. As an agent with {len(AREAS) + 3} granted subtrees. Above: beside get and list of those keys now; "
        "the past of a key that changed more than seven times since is searched for. Below: one key with "
        f"{versions:,} versions beside ones that begin with {_FEW}; every rollback that is not only shown writes."
    )
    return report


async def _past(connection: asyncpg.Connection, state: State) -> list[Comparison]:
    """Lists of keys that changed since a cursor, each in a folder of its own."""
    comparisons: list[Comparison] = []
    for number, (label, changed, times) in enumerate(_CHANGES):
        folder = f"list/{number}"
        keys = [f"{folder}/key-{n:04d}" for n in range(_KEYS)]
        await _put(connection, keys)
        cursor = await state.cursor()
        await connection.execute("select pgstate.expire()")
        at: datetime = await connection.fetchval("select clock_timestamp()")
        for _ in range(times):
            await _put(connection, keys[:changed])
        get = lambda n, keys=keys: state.get(keys[n % _KEYS])  # noqa: E731
        list_ = lambda n, folder=folder: state.list(f"{folder}/**")  # noqa: E731
        if number in (0, len(_CHANGES) - 1):
            past = lambda n, keys=keys, cursor=cursor: state.get(keys[n % _KEYS], as_of=cursor)  # noqa: E731
            comparisons.append(Comparison(f"get as of a cursor, {label}", past, get, 1, 0.5))
        if number == 0:
            past = lambda n, keys=keys, at=at: state.get(keys[n % _KEYS], as_of=at)  # noqa: E731
            comparisons.append(Comparison(f"get as of a time, {label}", past, get, 1, 0.5))
            past = lambda n, keys=keys: state.get(keys[n % _KEYS], as_of=1)  # noqa: E731
            comparisons.append(Comparison("get a version", past, get, 1, 0.5))
        listed = lambda n, folder=folder, cursor=cursor: state.list(f"{folder}/**", as_of=cursor)  # noqa: E731
        # wanted of what changed little: each of the others is looked for
        wanted = 1 / 3 if times <= 1 else None
        comparisons.append(Comparison(f"list {_KEYS:,} keys, {label}", listed, list_, 1, wanted))
    return comparisons


async def _back(connection: asyncpg.Connection, state: State, versions: int) -> list[Comparison]:
    """One key with many versions beside several with few; the values differ, so that each rollback writes."""
    small, large = [f"small/{n}" for n in range(_SMALL)], "large/key"
    for _ in range(_FEW // 2):
        await _put(connection, small)
    await _put(connection, [large] * (versions // 2))
    cursor = await state.cursor()
    for _ in range(_FEW - _FEW // 2):
        await _put(connection, small, '"later"')
    await _put(connection, [large] * (versions - versions // 2), '"later"')
    unused = iter(small)
    one = next(unused)

    async def renew() -> None:
        # one and the same row is written all the time on both sides, and few versions stay few
        nonlocal one
        one = next(unused)

    async def to_version(key: str, turn: int, middle: int) -> None:
        await state.rollback(key, middle + turn % 2)

    async def to_cursor(key: str) -> None:
        await state.rollback(key, cursor, dry_run=True)

    return [
        Comparison(
            f"rollback to a version, {versions:,} versions; peer: {_FEW}",
            lambda n: to_version(large, n, versions // 2),
            lambda n: to_version(one, n, _FEW // 2),
            1,
            0.8,
            prepare_peer=renew,
        ),
        Comparison(
            f"rollback to a cursor, only shown, {versions:,} versions; peer: {_FEW}",
            lambda n: to_cursor(large),
            lambda n: to_cursor(one),
            prepare_peer=renew,
        ),
        Comparison(
            f"rollback to a version, {versions:,} versions; peer: put",
            lambda n: to_version(large, n, versions // 2),
            lambda n: state.put(one, VALUE),
            prepare_peer=renew,
        ),
    ]


async def _put(connection: asyncpg.Connection, keys: list[str], text: str = TEXT) -> None:
    for start in range(0, len(keys), _BATCH):
        batch = keys[start : start + _BATCH]
        written = await connection.fetchval(_PUT, batch, text)
        assert written == len(batch), f"{written} of {len(batch)} written"


if __name__ == "__main__":
    run([measure], __doc__)
