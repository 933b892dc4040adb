"""The feed beside writers at work."""

from __future__ import annotations

import asyncio
import random

import pytest

from _cases import first_of
from concurrency._open import Begin
from sql._caller import Caller, MakeAgent


@pytest.mark.parametrize("seed", first_of(range(2)))
async def test_nothing_is_lost_behind_a_transaction_that_stays_open(
    root: Caller, session: MakeAgent, begin: Begin, seed: int
) -> None:
    """Writers at full speed, some of whose transactions roll back, beside one that is open all the while."""
    chance = random.Random(seed)
    long = await begin()
    start = await root("cursor")
    await long.caller("put", "long/1", 0)
    writers = [await session() for _ in range(4)]

    async def write(number: int, writer: Caller) -> int:
        written = 0
        for step in range(30):
            transaction = writer.transaction()
            await transaction.start()
            count = chance.choice([1, 1, 2, 5])
            for _ in range(count):
                await writer("put", f"w/{number}", step)
            if chance.random() < 0.2:
                await transaction.rollback()
            else:
                await transaction.commit()
                written += count
        return written

    found: list[tuple[str, int]] = []
    cursor = start

    async def consume() -> None:
        nonlocal cursor
        *page, bookmark = await root.rows("changes", cursor, [""], chance.choice([1, 3, 20]))
        stop = chance.randrange(len(page) + 1)
        page = page[:stop] if stop else page
        found.extend((c["key"], c["version"]) for c in page)
        cursor = page[-1]["cursor"] if stop else bookmark["cursor"]

    tasks = [asyncio.ensure_future(write(n, w)) for n, w in enumerate(writers)]
    while not all(task.done() for task in tasks):
        await consume()
    totals = [task.result() for task in tasks]

    async def drain() -> None:
        nonlocal cursor
        before = None
        while before != cursor:
            before = cursor
            *page, bookmark = await root.rows("changes", cursor, [""], 20)
            found.extend((c["key"], c["version"]) for c in page)
            cursor = bookmark["cursor"]

    await drain()
    for number, total in enumerate(totals):
        assert [v for key, v in found if key == f"w/{number}"] == list(range(1, total + 1))
    assert len(found) == sum(totals)
    await long.caller("put", "long/1", 1)
    await long.end()
    await drain()
    assert found[sum(totals) :] == [("long/1", 1), ("long/1", 2)]
