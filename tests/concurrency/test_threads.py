"""Threads under several writers: nobody loses a save, a deleted thread stays deleted, and no chunk is lost that is needed."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from _cases import first_of
from _server import SUPERUSER
from concurrency._open import BOTH, Begin, Start
from conftest import Clock
from sql._caller import Caller, MakeAgent, refused, seconds
from sql._threads import LONG, among, hashes, ids, load, save, saved

__all__ = ["among"]

pytestmark = pytest.mark.core


@BOTH
async def test_saves_of_one_thread_take_turns(root: Caller, begin: Begin, session: MakeAgent, blocked: Start, commits: bool) -> None:  # fmt: skip
    base = await saved(root, "t/1", {"n": 1})
    first, other = await begin(), await session()
    mine = await saved(first.caller, "t/1", {"n": 2}, expect_head=base)
    waiting = await blocked(other, save(other, "t/1", {"n": 3}, expect_head=base))
    await first.end(commits)
    row = await waiting
    assert (row["status"], row["head"]) == (("conflict", mine) if commits else ("ok", row["id"]))
    assert await load(root, "t/1") == {"n": 2 if commits else 3}


@BOTH
async def test_a_thread_is_begun_once(root: Caller, begin: Begin, session: MakeAgent, blocked: Start, commits: bool) -> None:  # fmt: skip
    first, other = await begin(), await session()
    await saved(first.caller, "t/1", {"n": 1, "text": LONG}, expect_head="")
    waiting = await blocked(other, save(other, "t/1", {"n": 2, "text": LONG}, expect_head=""))
    await first.end(commits)
    assert (await waiting)["status"] == ("conflict" if commits else "ok")
    assert await load(root, "t/1") == {"n": 1 if commits else 2, "text": LONG}


@BOTH
@pytest.mark.parametrize("call", ["save", "writes", "fork", "rollback", "prune"])
async def test_while_it_is_deleted(root: Caller, begin: Begin, session: MakeAgent, blocked: Start, call: str, commits: bool) -> None:  # fmt: skip
    id = await saved(root, "t/1", {"n": 1, "text": LONG})
    deleter, other = await begin(), await session()
    await deleter.caller("delete_thread", "t/1")
    calls: dict[str, Any] = {
        "save": lambda: save(other, "t/1", {"n": 2, "text": LONG}, known=hashes({"text": LONG}), parent=id),
        "writes": lambda: other("put_writes", "t/1", id, "task", [0], ["a"], ["json"], [b"1"]),
        "fork": lambda: other("fork_thread", "t/1", "t/2"),
        "rollback": lambda: other("rollback_thread", "t/1", id),
        "prune": lambda: other("prune_thread", "t/1"),
    }
    waiting = await blocked(other, calls[call]())
    await deleter.end(commits)
    row = await waiting
    status = row if call == "writes" else row["status"]
    assert status == ("missing" if commits and call != "writes" else "ok")
    assert (await root("get", "t/1"))["status"] == ("missing" if commits else "ok")
    assert await load(root, "t/2") == ({"n": 1, "text": LONG} if call == "fork" and not commits else None)


async def test_deleting_waits_for_who_writes_or_forks(root: Caller, begin: Begin, session: MakeAgent, blocked: Start) -> None:  # fmt: skip
    inside = await session(SUPERUSER)
    for call in ("writes", "fork"):
        id = await saved(root, "t/1", {"text": LONG})
        opened, other = await begin(), await session()
        if call == "writes":
            await opened.caller("put_writes", "t/1", id, "task", [0], ["a"], ["json"], [b"1"])
        else:
            await opened.caller("fork_thread", "t/1", "t/2")
        waiting = await blocked(other, other("delete_thread", "t/1"))
        await opened.end()
        assert (await waiting)["status"] == "ok"
        await root("maintain")
        assert await inside.fetchval("select count(*) from pgstate.pending_write") == 0
    assert await load(root, "t/2") == {"text": LONG}


async def test_expiry_waits_for_nobody(root: Caller, begin: Begin, clock: Clock) -> None:
    id = await saved(root, "t/1", {"text": LONG}, ttl=seconds(60))
    await saved(root, "t/2", {"text": LONG}, ttl=seconds(60))
    opened = await begin()
    await opened.caller("put_writes", "t/1", id, "task", [0], ["a"], ["json"], [b"1"])
    await clock.advance(61)
    await root("expire")
    assert [row["op"] for row in await root.rows("history", "t/2")] == ["expire", "put"]
    assert [row["op"] for row in await root.rows("history", "t/1")] == ["put"]
    await opened.end()
    await root("expire")
    assert [row["op"] for row in await root.rows("history", "t/1")] == ["expire", "put"]


async def test_a_fork_under_way_keeps_its_chunks(root: Caller, begin: Begin, session: MakeAgent, blocked: Start) -> None:  # fmt: skip
    """The fork is not to be seen yet, and what it was made of is pruned: collecting must wait for it."""
    inside = await session(SUPERUSER)
    first = await saved(root, "t/1", {"text": LONG})
    await saved(root, "t/1", {"n": 2})
    opened = await begin()
    await opened.caller("fork_thread", "t/1", "t/2", first)
    other = await session()
    pruner = await blocked(other, other("prune_thread", "t/1"))
    await opened.end()
    assert (await pruner)["removed"] == 1
    await root("maintain")
    assert await load(root, "t/2") == {"text": LONG}
    assert await inside.fetchval("select count(*) from pgstate.chunk") == 1


async def test_a_save_of_a_fork_while_its_origin_is_collected(root: Caller, begin: Begin) -> None:
    state = {"text": LONG, "more": LONG + "more"}
    await saved(root, "t/1", state)
    await root("fork_thread", "t/1", "t/2")
    opened = await begin()
    await saved(opened.caller, "t/2", {"text": LONG}, known=hashes(state))
    await root("delete_thread", "t/1")
    await opened.end()
    assert await load(root, "t/2") == {"text": LONG}
    await root("prune_thread", "t/2")
    await root("maintain")
    assert await load(root, "t/2") == {"text": LONG}


@pytest.mark.parametrize("isolation", first_of(["repeatable_read", "serializable"]))
async def test_under_a_snapshot(root: Caller, session: MakeAgent, isolation: str) -> None:
    """What was collected since the snapshot looks as if it were there: a serialization failure, and nothing dangling."""
    await saved(root, "t/1", {"text": LONG})
    await saved(root, "t/1", {"n": 2})
    other = await session()
    transaction = other.transaction(isolation=isolation)
    await transaction.start()
    assert (await other("get", "t/1"))["status"] == "ok"
    await root("prune_thread", "t/1")
    with refused("40001"):
        await save(other, "t/1", {"text": LONG}, known=hashes({"text": LONG}))
    await transaction.rollback()
    # pruning in such a transaction leaves collecting to others
    first = await saved(root, "t/2", {"text": LONG})
    await saved(root, "t/2", {"n": 2})
    async with other.transaction(isolation=isolation):
        await other.rows("threads")
        await root("fork_thread", "t/2", "t/3", first)
        assert (await other("prune_thread", "t/2"))["removed"] == 1
    await root("maintain")
    assert await load(root, "t/3") == {"text": LONG}


@pytest.mark.parametrize("turns", first_of([20, 60]))
async def test_a_storm(root: Caller, session: MakeAgent, turns: int) -> None:
    """Writers, pruners, forks and collectors at once, over few threads: every checkpoint that is there can be read, and in the
    end nothing is left that none needs."""
    chance = random.Random(7)
    inside = await session(SUPERUSER)
    texts = [f"{n}" + LONG for n in range(12)]
    everything = hashes({str(n): text for n, text in enumerate(texts)})

    async def work(caller: Caller, seed: int) -> None:
        own = random.Random(seed)
        for _ in range(turns):
            key = f"t/{own.randrange(4)}"
            state = {str(n): text for n, text in enumerate(own.sample(texts, 5))}
            match own.randrange(8):
                case 0:
                    await caller("prune_thread", key, own.randrange(1, 3))
                case 1:
                    await caller("delete_thread", key)
                case 2:
                    await caller("fork_thread", f"t/{own.randrange(4)}", key)
                case 3:
                    await caller("maintain")
                case _:
                    known = everything
                    row = await save(caller, key, state, known=known)
                    # what one attempt found missing, and sent in vain, is missing for the next as well
                    for _ in state:
                        if row["status"] == "incomplete":
                            known = known - {*row["missing"]}
                            row = await save(caller, key, state, known=known)
                    assert row["status"] == "ok"
            for other in range(4):
                for id in await ids(caller, f"t/{other}"):
                    found = await caller("get_checkpoint", f"t/{other}", id)
                    assert found["status"] == "missing" or {*found["data"]} == {*found["chunk_hashes"]}

    callers = [await session() for _ in range(4)]
    await asyncio.gather(*(work(caller, chance.randrange(1000)) for caller in callers))
    for number in range(4):
        for id in await ids(root, f"t/{number}"):
            found = await root("get_checkpoint", f"t/{number}", id)
            assert {*found["data"]} == {*found["chunk_hashes"]}
        await root("delete_thread", f"t/{number}")
    for _ in range(6):
        await root("maintain")
    for table in ("thread", "checkpoint", "chunk", "pending_write"):
        assert await inside.fetchval(f"select count(*) from pgstate.{table}") == 0, table
