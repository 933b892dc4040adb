"""Reading the past while others write, and going back while they do."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from _cases import first_of
from concurrency._open import BOTH, Begin, Start
from conftest import Clock, Database
from sql._caller import Caller, MakeAgent, refused, seconds
from sql.test_as_of import listed, past
from sql.test_rollback import rollback, values

ACCOUNTS = [f"account/{n}" for n in range(8)]
WRITERS, TRANSFERS = 3, 40


@pytest.mark.core
async def test_each_read_of_the_past_is_a_state_that_there_was(
    root: Caller, session: MakeAgent, database: Database
) -> None:
    """Amounts go from key to key, two in one transaction, some of them rolled back: no past state shows half of one."""
    await root.rows("put_many", ACCOUNTS, [100] * len(ACCOUNTS))
    start = await root("cursor")
    # that of the migration may be so young that another is not thought worth while
    database.sql("delete from pgstate.feed_point")
    await root("expire")
    first = await root.fetchval("select clock_timestamp()")

    async def transfer(seed: int) -> None:
        caller, random_ = await session(), random.Random(seed)
        for _ in range(TRANSFERS):
            # in key order, so that nobody waits in a circle
            one, two = sorted(random_.sample(ACCOUNTS, 2))
            transaction = caller.transaction()
            await transaction.start()
            await caller("merge", one, -1, "add")
            await caller("merge", two, 1, "add")
            await (transaction.rollback() if random_.random() < 0.2 else transaction.commit())

    writers = asyncio.gather(*(transfer(seed) for seed in range(WRITERS)))
    reader, recorder, random_ = await session(), await session(), random.Random(9)
    states: list[tuple[Any, str]] = []
    while not writers.done() or len(states) < 20:
        states.append(await listed(reader, "account/*"))
        await recorder("expire")
        state, cursor = random_.choice(states)
        assert await past(reader, "account/*", cursor=cursor) == state
    await writers
    for state, cursor in states:
        assert sum(entry[1] for entry in state) == 100 * len(ACCOUNTS)
        assert await past(root, "account/*", cursor=cursor) == state
    last = await root.fetchval("select clock_timestamp()")
    for part in range(20):
        state = await past(root, "account/*", at=first + (last - first) * part / 19)
        assert sum(entry[1] for entry in state) == 100 * len(ACCOUNTS)
    # from inside of pages, where no transaction is split
    cursor = start
    while True:
        *page, bookmark = await root.rows("changes", cursor, ["account/*"], 50)
        for change in page[::5]:
            if change["whole"]:
                state = await past(root, "account/*", cursor=change["cursor"])
                assert sum(entry[1] for entry in state) == 100 * len(ACCOUNTS)
        if bookmark["cursor"] == cursor:
            break
        cursor = bookmark["cursor"]


@pytest.mark.core
@pytest.mark.parametrize("seed", first_of(range(2)))
async def test_each_read_of_the_past_is_one_of_the_states_that_there_were(
    root: Caller, session: MakeAgent, clock: Clock, seed: int
) -> None:
    """Each transaction counts up, which puts all of them in one order, and then puts, merges and deletes: so whatever is
    read must be exactly what the first so many of them leave, in values and in versions."""
    names = [f"s/{n}" for n in range(5)]
    done: dict[int, list[tuple[str, str, Any]]] = {}
    await root("put", "s/count", 0)
    await clock.advance(1)
    await root("expire")

    async def write(number: int) -> None:
        caller, chance = await session(), random.Random(f"{seed} {number}")
        # until enough was read beside them, however slow that is
        for turn in range(1000):
            if turn >= 40 and len(found) > 60 and len({read["s/count"][0] for read in found}) > 15:
                break
            transaction = caller.transaction()
            await transaction.start()
            count = (await caller("merge", "s/count", 1, "add", return_value=True))["value"]
            ops: list[tuple[str, str, Any]] = []
            for name in chance.sample(names, 3):
                op = chance.choice(["put", "merge", "merge", "delete"])
                value = {"put": [str(turn) * 3000], "merge": [number, turn], "delete": None}[op]
                await caller("write_one", op, name, value, reducer="append" if op == "merge" else None)
                ops.append((op, name, value))
            if chance.random() < 0.2:
                await transaction.rollback()
            else:
                done[count] = ops
                await transaction.commit()

    found: list[dict[str, tuple[Any, int]]] = []

    def keep(rows: list[Any]) -> None:
        found.append({row["key"]: (row["value"], row["version"]) for row in rows if row["value"] is not None})

    writing = asyncio.gather(*(write(number) for number in range(WRITERS)))
    reader, pulse, chance = await session(), await session(), random.Random(seed)
    cursor, cursors, times = await reader("cursor"), [], []
    while not writing.done():
        *page, bookmark = await reader.rows("changes", cursor, ["s/*"], chance.choice([3, 20, 200]))
        cursor = bookmark["cursor"]
        cursors += [change["cursor"] for change in page if change["whole"]] + [await reader("cursor")]
        await clock.advance(1)
        await pulse("expire")
        times.append(await clock.now())
        for ref in ({"cursor": chance.choice(cursors)}, {"at": chance.choice(times)}):
            keep(await reader.rows("list_as_of", "s/*", **ref))
            keep([await reader("get_as_of", key, **ref) for key in ("s/count", *names)])
    await writing
    for ref in [{"cursor": cursor} for cursor in cursors] + [{"at": at} for at in times]:
        keep(await root.rows("list_as_of", "s/*", **ref))

    state: dict[str, tuple[Any, int]] = {"s/count": (0, 1)}
    versions: dict[str, int] = {}
    states = {0: dict(state)}
    for count in range(1, len(done) + 1):
        state["s/count"] = (count, count + 1)
        for op, name, value in done[count]:
            before, _ = state.pop(name, (None, 0))
            if op == "delete" and before is None:
                continue
            versions[name] = versions.get(name, 0) + 1
            if op != "delete":
                state[name] = ((before or []) + value if op == "merge" else value, versions[name])
        states[count] = dict(state)
    assert len(found) > 40 and len({read["s/count"][0] for read in found}) > 10
    for read in found:
        assert read == states[read["s/count"][0]]


@pytest.mark.core
@BOTH
async def test_a_rollback_waits_and_then_takes_what_came_along(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, commits: bool
) -> None:
    await root.rows("put_many", ["a/1", "a/2"], [1, 2])
    cursor = await root("cursor")
    await root.rows("put_many", ["a/1", "a/2"], [10, 20])
    writer, back = await begin(), await session()
    await writer.caller("put", "a/1", 11)
    await writer.caller("put", "a/3", 30)
    waiting = await blocked(back, rollback(back, "a/**", cursor=cursor))
    await writer.end(commits)
    done = [row[:5] for row in await waiting]
    # what was written in one transaction is undone together
    if commits:
        assert done == [("a/1", "ok", "put", 4, 3), ("a/2", "ok", "put", 3, 2), ("a/3", "ok", "delete", 2, 1)]
    else:
        assert done == [("a/1", "ok", "put", 3, 2), ("a/2", "ok", "put", 3, 2)]
    assert await values(root) == {"a/1": 1, "a/2": 2}


async def test_what_a_rollback_takes_along_later_makes_nobody_wait_in_a_circle(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start
) -> None:
    keys = ["a/1", "a/2", "a/3"]
    await root.rows("put_many", keys, [1, 2, 3])
    cursor = await root("cursor")
    await root.rows("put_many", keys[1:], [20, 30])
    first, second, back = await begin(), await begin(), await session()
    await first.caller("merge", "a/3", 1, "add")
    rolling = await blocked(back, rollback(back, "a/**", cursor=cursor))
    await root("put", "a/1", 10)
    await second.caller("merge", "a/1", 1, "add")
    merging = await blocked(second.caller, second.caller("merge", "a/2", 1, "add"))
    await first.end()
    # the rollback has lost the race for a/3, and wants a/1 as well now
    assert (await merging)["version"] == 3
    await second.end()
    done = [row[:5] for row in await rolling]
    assert done == [("a/1", "ok", "put", 4, 3), ("a/2", "ok", "put", 4, 3), ("a/3", "ok", "put", 4, 3)]
    assert await values(root) == {"a/1": 1, "a/2": 2, "a/3": 3}


@BOTH
async def test_a_claim_taken_meanwhile_holds(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, commits: bool
) -> None:
    await root.rows("put_many", ["a/1", "a/2"], [1, 2])
    cursor = await root("cursor")
    await root.rows("put_many", ["a/1", "a/2"], [10, 20])
    claimant, back = await begin(), await session()
    await claimant.caller("claim", "a/2", seconds(60))
    waiting = await blocked(back, rollback(back, "a/**", cursor=cursor))
    await claimant.end(commits)
    statuses = [row[:2] for row in await waiting]
    assert statuses == ([("a/1", "skipped"), ("a/2", "held")] if commits else [("a/1", "ok"), ("a/2", "ok")])
    assert await values(root) == ({"a/1": 10, "a/2": 20} if commits else {"a/1": 1, "a/2": 2})


@BOTH
async def test_two_rollbacks_of_the_same_keys(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, commits: bool
) -> None:
    await root.rows("put_many", ["a/1", "a/2"], [1, 2])
    cursor = await root("cursor")
    await root("put", "a/1", 10)
    await root("delete", "a/2")
    first, second = await begin(), await session()
    assert len(await rollback(first.caller, "a/**", cursor=cursor)) == 2
    waiting = await blocked(second, rollback(second, "a/**", cursor=cursor))
    await first.end(commits)
    assert len(await waiting) == (0 if commits else 2)
    assert await values(root) == {"a/1": 1, "a/2": 2}
    assert [v["version"] for v in await root.rows("history", "a/1")] == [3, 2, 1]


async def test_the_same_rollback_sent_again_meanwhile_waits_for_the_first(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start
) -> None:
    await root("put", "k", 1)
    await root("put", "k", 2)
    first, second = await begin(), await session()
    outcome = await rollback(first.caller, "k", version=1, op_id="x")
    waiting = await blocked(second, rollback(second, "k", version=1, op_id="x"))
    await first.end()
    assert await waiting == outcome
    assert len(await root.rows("history", "k")) == 3


async def test_under_stricter_isolation_a_lost_race_is_an_error(root: Caller, session: MakeAgent) -> None:
    await root("put", "k", 1)
    await root("put", "k", 2)
    other = await session()
    with refused("40001"):
        async with other.transaction(isolation="repeatable_read"):
            await other("get", "k")
            await root("put", "k", 3)
            await rollback(other, "k", version=1)
    async with other.transaction(isolation="repeatable_read"):
        await other("get", "k")
        await root("put", "other", 1)
        assert (await rollback(other, "k", version=1))[0][:4] == ("k", "ok", "put", 4)
