"""Retention beside writers, watchers and itself."""

from __future__ import annotations

import asyncio
import random

import pytest

from _cases import first_of
from _server import SUPERUSER
from _sync import wait_until_blocked
from concurrency._open import Begin
from conftest import Clock
from sql._caller import Caller, MakeAgent, refused, seconds


@pytest.fixture
async def aged(root: Caller, clock: Clock) -> int:
    """Five versions of a/x of which four are due, and their number."""
    await root("set_policy", "a/**", keep="1")
    for number in range(5):
        await root("put", "a/x", number)
    await root("maintain")
    await clock.advance(7200)
    return 5


@pytest.mark.core
@pytest.mark.parametrize("seed", first_of(range(2)))
async def test_watchers_see_every_change_while_history_goes(
    root: Caller, session: MakeAgent, begin: Begin, clock: Clock, seed: int
) -> None:
    """Writers at full speed, rollbacks among them, two who maintain, and a transaction that is open for a good part."""
    chance = random.Random(seed)
    await root("set_policy", "w/**", keep="2 versions")
    await root("set_policy", "w/0", keep="2 hours")
    writers, keepers = [await session() for _ in range(4)], [await session() for _ in range(2)]
    cursor = await root("cursor")
    long = await begin()
    await long.caller("put", "long", 0)
    removed, reads = 0, 0
    done = asyncio.Event()

    async def write(number: int, writer: Caller) -> int:
        version = 0
        # until enough has gone beside them
        for turn in range(3000):
            if turn >= 60 and removed > 100:
                break
            transaction = writer.transaction()
            await transaction.start()
            count = chance.choice([1, 1, 3])
            for step in range(count):
                await writer("put", f"w/{number}", version + step + 1)
            if chance.random() < 0.2:
                await transaction.rollback()
            else:
                await transaction.commit()
                version += count
        return version

    async def keep(keeper: Caller) -> None:
        nonlocal removed
        while not done.is_set():
            step = await keeper("maintain", chance.choice([3, 50]))
            removed += step["removed"] or 0

    found: list[tuple[str, int, int | None, int | None]] = []

    async def consume() -> bool:
        nonlocal cursor
        *page, bookmark = await root.rows("changes", cursor, [""], chance.choice([1, 5, 20, 100]))
        found.extend((c["key"], c["version"], c["value"], c["previous"]) for c in page)
        cursor = bookmark["cursor"]
        # here, and at the end of a page's window, where the cursor begins anew: so it is never an hour old
        if len(cursor.split(".")) == 5:
            await clock.advance(300)
        return bool(page)

    writing = [asyncio.ensure_future(write(n, w)) for n, w in enumerate(writers)]
    keeping = [asyncio.ensure_future(keep(keeper)) for keeper in keepers]
    while not all(task.done() for task in writing):
        await consume()
        reads += 1
        if reads == 30:
            await long.end()
    totals = [task.result() for task in writing]
    if reads < 30:
        await long.end()
    while await consume():
        pass
    for number, total in enumerate(totals):
        seen = [row[1:] for row in found if row[0] == f"w/{number}"]
        assert seen == [(v, v, v - 1 if v > 1 else None) for v in range(1, total + 1)]
    assert [row[:2] for row in found if row[0] == "long"] == [("long", 1)]

    done.set()
    await asyncio.gather(*keeping)
    assert removed > 100
    # two hours on, what the policies keep is there and nothing else
    await root("maintain")
    await clock.advance(7500)
    while (await root("maintain"))["more"]:
        pass
    for number, total in enumerate(totals):
        kept = [row["version"] for row in await root.rows("history", f"w/{number}")]
        assert kept == ([total] if number == 0 else [total, total - 1])
        assert (await root("get", f"w/{number}"))["value"] == total


@pytest.mark.core
async def test_two_at_once_do_not_wait_for_each_other(
    root: Caller, aged: int, begin: Begin, session: MakeAgent
) -> None:
    first, second = await begin(), await session()
    assert (await first.caller("maintain"))["removed"] == aged - 1
    assert tuple(await second("maintain")) == ("busy", None, False)
    await first.end(commits=False)
    # what was rolled back is done by the next
    assert (await second("maintain"))["removed"] == aged - 1
    assert tuple(await second("maintain")) == ("ok", 0, False)


@pytest.mark.core
async def test_retention_holds_up_no_writer_and_no_writer_holds_up_retention(
    root: Caller, aged: int, begin: Begin, session: MakeAgent
) -> None:
    writer, keeper, other = await begin(), await begin(), await session()
    await writer.caller("put", "a/x", "under way")
    await other("claim", "a/y", seconds(60))
    assert (await keeper.caller("maintain"))["removed"] == aged - 1
    for function, *arguments in (
        ("put", "a/z", 1),
        ("merge", "a/z", 1, "add"),
        ("delete", "a/z"),
        ("get", "a/x"),
        ("history", "a/x"),
    ):
        await other.rows(function, *arguments)
    await writer.caller("put", "a/x", "again")
    await writer.end()
    await keeper.end()
    assert [row["version"] for row in await root.rows("history", "a/x")] == [7, 6, 5]


@pytest.mark.core
async def test_who_reads_an_older_snapshot_reads_what_was_there(
    root: Caller, clock: Clock, begin: Begin, session: MakeAgent
) -> None:
    await root("set_policy", "a/**", keep="1")
    await root("put", "a/x", 0)
    cursor = await root("cursor")
    for number in range(1, 5):
        await root("put", "a/x", number)
    await root("maintain")
    await clock.advance(7200)
    reader = await begin()
    await reader.caller.execute("set transaction isolation level repeatable read")

    async def seen() -> list[tuple[int, int]]:
        return [(c["version"], c["previous"]) for c in await reader.caller.rows("changes", cursor) if c["key"]]

    before = await seen()
    assert before == [(n + 1, n - 1) for n in range(1, 5)]
    assert (await root("maintain"))["removed"] == 4
    assert await seen() == before
    await reader.end()
    with refused("PS021"):
        await seen()


@pytest.mark.core
async def test_policies_change_after_retention_and_not_beside_it(
    root: Caller, aged: int, begin: Begin, session: MakeAgent
) -> None:
    keeper, chief, watcher = await begin(), await session(), await session(SUPERUSER)
    await keeper.caller("maintain")
    setting = asyncio.ensure_future(chief("set_policy", "a/**", keep="everything"))
    await wait_until_blocked(watcher.connection, chief.pid)
    await keeper.end()
    await setting
    await root("put", "a/x", 9)
    assert tuple(await root("maintain")) == ("ok", 0, False)
