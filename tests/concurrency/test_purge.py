"""A key that is created again while its tombstone is purged: its numbers go on, and nobody waits for long."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from _server import SUPERUSER
from _sync import wait_until_blocked
from concurrency._open import BOTH, Begin, Start
from conftest import Clock
from sql._caller import Caller, MakeAgent

pytestmark = pytest.mark.core


@pytest.fixture
async def inside(session: MakeAgent) -> Caller:
    return await session(SUPERUSER)


@pytest.fixture
def due(root: Caller, clock: Clock) -> Callable[[], Awaitable[None]]:
    """`await due()`: what was written so far may be purged by the next call of maintain()."""

    async def run() -> None:
        await root("put", "beat", 1)
        await root.execute("select pgstate.maintain()")
        await clock.advance(7200)

    return run


@pytest.fixture
async def dead(root: Caller, due: Callable[[], Awaitable[None]]) -> str:
    """A key whose tombstone, of version 3, is to go."""
    await root("set_policy", "a/**", keep="1 version")
    await live_and_die(root)
    await due()
    return "a/x"


async def live_and_die(caller: Caller) -> None:
    for number in range(2):
        await caller("put", "a/x", number)
    await caller("delete", "a/x")


CREATE: dict[str, tuple[Any, ...]] = {
    "put": ("put", "a/x", 1), "expecting none": ("put", "a/x", 1, 0), "merge": ("merge", "a/x", 1, "add"),
    "with another": ("put_many", ["a/w", "a/x"], [1, 1]),
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("call", CREATE.values(), ids=CREATE)
async def test_who_creates_it_waits_for_the_purge(
    root: Caller, dead: str, begin: Begin, session: MakeAgent, blocked: Start, call: tuple[Any, ...], commits: bool
) -> None:
    keeper, writer = await begin(), await session()
    assert (await keeper.caller("maintain"))["removed"] == 3
    waiting = await blocked(writer, writer.rows(*call))
    await keeper.end(commits)
    assert [row["version"] for row in await waiting][-1] == 4
    assert [row["version"] for row in await root.rows("history", dead)] == ([4] if commits else [4, 3, 2, 1])


@BOTH
async def test_who_is_creating_it_goes_first(
    root: Caller, dead: str, begin: Begin, due: Callable[[], Awaitable[None]], commits: bool
) -> None:
    writer = await begin()
    assert (await writer.caller("put", dead, "again"))["version"] == 4
    # nobody waits, and the tombstone is not passed by
    assert (await root("maintain"))["removed"] == 2
    await writer.end(commits)
    assert (await root("maintain"))["removed"] == (0 if commits else 1)
    assert (await root("put", dead, 1))["version"] == (5 if commits else 4)


async def test_a_guard_on_its_absence_holds(root: Caller, dead: str, begin: Begin, session: MakeAgent, blocked: Start) -> None:  # fmt: skip
    guard, other = await begin(), await session()
    rows = await guard.caller.rows(
        "apply", [{"key": dead, "absent": True}], [{"op": "put", "key": "b/mine", "value": 1}]
    )
    assert {row["status"] for row in rows} == {"ok"}
    assert (await root("maintain"))["removed"] == 2
    waiting = await blocked(other, other.rows("apply", [{"key": "b/mine", "absent": True}], [{"op": "put", "key": dead, "value": 1}]))  # fmt: skip
    await guard.end()
    assert {row["status"] for row in await waiting} == {"conflict", "skipped"}
    assert (await root("maintain"))["removed"] == 1


async def test_under_an_older_snapshot(
    root: Caller, session: MakeAgent, begin: Begin, due: Callable[[], Awaitable[None]]
) -> None:
    """It has seen neither the key nor the purge, which its own floor must not forget."""
    await root("set_policy", "a/**", keep="1 version")
    late = await begin()
    await late.caller.execute("set transaction isolation level repeatable read")
    assert (await late.caller("get", "a/x"))["status"] == "missing"
    await live_and_die(root)
    await due()
    assert (await root("maintain"))["removed"] == 3
    assert (await late.caller("put", "a/x", 1))["version"] == 4
    await late.end()


@pytest.mark.parametrize("keys", [["a/x"], ["a/w", "a/x"]], ids=["alone", "with another"])
async def test_one_that_was_held_up_after_it_had_decided(
    root: Caller, inside: Caller, session: MakeAgent, begin: Begin, due: Callable[[], Awaitable[None]], keys: list[str]
) -> None:
    """It has looked at the floor and waits to insert; then it is stopped for as long as the key lives, dies and is purged."""
    await root("set_policy", "a/**", keep="1 version")
    first, writer = await begin(), await session()
    await first.caller("put", keys[0], 0)
    waiting = asyncio.ensure_future(
        writer.rows("write_many", ["put"] * len(keys), keys, [1] * len(keys), expects=[0] * len(keys))
    )
    await wait_until_blocked(inside.connection, writer.pid)
    os.kill(writer.pid, signal.SIGSTOP)
    try:
        await first.end(commits=False)
        await live_and_die(root)
        await due()
        assert (await root("maintain"))["removed"] == 3
    finally:
        os.kill(writer.pid, signal.SIGCONT)
    rows = await waiting
    assert [row["status"] for row in rows] == ["ok"] * len(keys)
    assert rows[-1]["version"] == 4
    assert [(v["version"], v["created"]) for v in await root.rows("history", "a/x")] == [(4, True)]
    assert tuple(await root("get", "a/x"))[:4] == tuple(await writer("get", "a/x"))[:4]


async def test_keys_that_come_and_go_beside_retention(root: Caller, session: MakeAgent, clock: Clock) -> None:
    """Numbers of a key never come again, whoever looks: what each writer was told rises, and so does what watchers read."""
    await root("set_policy", "q/**", keep="1 version")
    names = [f"q/{n}" for n in range(3)]
    told: dict[str, list[int]] = {name: [] for name in names}
    writers, keeper, reader = [await session() for _ in range(3)], await session(), await session()
    purged, done = 0, asyncio.Event()

    async def work(writer: Caller, name: str) -> None:
        for turn in range(2000):
            if turn >= 30 and purged > 40:
                break
            for op, value in (("put", turn), ("delete", None)):
                told[name].append((await writer("write_one", op, name, value))["version"])

    async def keep() -> None:
        nonlocal purged
        while not done.is_set():
            purged += (await keeper("maintain"))["removed"]

    cursor = await root("cursor")
    working = [asyncio.ensure_future(work(writer, name)) for writer, name in zip(writers, names, strict=True)]
    keeping = asyncio.ensure_future(keep())
    found: dict[str, list[int]] = {name: [] for name in names}

    async def consume() -> bool:
        nonlocal cursor
        *page, bookmark = await reader.rows("changes", cursor, ["q/*"])
        cursor = bookmark["cursor"]
        # here, and at the end of a page's window, where the cursor begins anew: so it is never an hour old
        if len(cursor.split(".")) == 5:
            await clock.advance(150)
        for change in page:
            found[change["key"]].append(change["version"])
            assert change["created"] == (change["op"] == "put") and (change["previous"] is None) == change["created"]
        return bool(page)

    while not all(task.done() for task in working):
        await consume()
    done.set()
    await asyncio.gather(*working, keeping)
    while await consume():
        pass
    assert purged > 40
    for name in names:
        assert told[name] == sorted(set(told[name]))
        assert found[name] == told[name]
