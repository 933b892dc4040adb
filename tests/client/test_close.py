"""close(): what is under way is finished, everything after it is refused, and no connection is left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from _server import SUPERUSER
from client._history import written
from client._locks import Locks
from client._watching import attached
from client.conftest import Connect
from pgstate import State, _gather, _hub, errors, ops
from pgstate._calls import feed

OpenConnection = Callable[..., Awaitable[asyncpg.Connection]]


@pytest.mark.parametrize("lock_timeout", ["1ms", None], ids=["apart", "in lanes"])
async def test_close_finishes_what_is_under_way(
    connect: Connect, locks: Locks, state: State, monkeypatch: pytest.MonkeyPatch, lock_timeout: str | None
) -> None:
    monkeypatch.setattr(_gather, "LOCK_TIMEOUT", lock_timeout)
    await state.put("k", 0)
    closing = await connect()
    async with locks.on("k"):
        calls: list[asyncio.Task[Any]] = [asyncio.create_task(closing.put("k", n)) for n in range(1, 60)]
        calls.append(asyncio.create_task(closing.apply(operations=[ops.put("applied", 1), ops.put("k", 99)])))
        await locks.waited_for(2)
        calls.append(asyncio.create_task(closing.get("k")))
        await asyncio.sleep(0)
        end = asyncio.create_task(closing.close())
        hasty = asyncio.create_task(closing.close())
        await asyncio.sleep(0)
        with pytest.raises(errors.Closed):
            await closing.put("k", "late")
        # who is cancelled leaves, and the end goes on; who asks again waits for it
        hasty.cancel()
        again = asyncio.create_task(closing.close())
        await asyncio.sleep(0)
        assert not again.done()
    await asyncio.gather(*calls)
    await asyncio.gather(end, again)
    assert hasty.cancelled()
    values = await written(state, "k")
    assert [value for value in values if value != 99] == list(range(60))
    assert (await state.get("applied")).value == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("count", [1, 4, 20])
async def test_close_waits_for_what_waits_for_locks(
    connect: Connect, locks: Locks, state: State, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(_gather, "LOCK_TIMEOUT", "1ms")
    keys = [f"k/{n}" for n in range(count)]
    await state.put_many([(key, 0) for key in keys])
    closing = await connect()
    async with locks.on(*keys):
        calls = [asyncio.create_task(closing.put(key, 1)) for key in keys]
        end = asyncio.create_task(closing.close())
        # the statement that took them was given up: they go on apart
        async with asyncio.timeout(20):
            while closing.stats.statements < count + 1:
                await asyncio.sleep(0.005)
        await locks.waited_for(1)
        assert not end.done() and not any(call.done() for call in calls)
    assert await asyncio.gather(*calls) == [2] * count
    await end


async def test_a_closed_client_is_closed_for_everything(connect: Connect, connect_as: OpenConnection) -> None:
    looker = await connect_as(SUPERUSER)
    closed = await connect()
    cursor = await closed.cursor()
    await closed.close()
    await closed.close()
    for call in (
        closed.get("k"), closed.put("k", 1), closed.delete("k"), closed.list(), closed.claim_next("k"), closed.claim("k"),
        closed.cursor(), closed.changes(cursor), closed.apply(operations=[ops.put("k", 1)]), closed.me(), closed.agents(),
        closed.create_agent("alice"), closed.as_agent("bob").get("k"), closed.claim_next("k", wait=1),
        anext(closed.watch()), anext(closed.watch(since=cursor)), anext(closed.watch(initial=True)),
    ):  # fmt: skip
        with pytest.raises(errors.Closed):
            await call
    async with asyncio.timeout(20):
        while await looker.fetchval("select count(*) from pg_stat_activity where datname = current_database()") > 1:
            await asyncio.sleep(0.005)


async def test_a_feed_reader_that_is_just_leaving_leaves_no_connection(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[asyncpg.Connection] = []
    leaving = asyncio.Event()

    async def unanswered(connection: asyncpg.Connection, *args: Any, **options: Any) -> None:
        left.append(connection)
        leaving.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(feed, "unsubscribe", unanswered)
    monkeypatch.setattr(_hub, "_LINGER", 0.0)
    monkeypatch.setattr(_hub, "_FAREWELL", 0.2)
    closing = await connect()
    watch = closing.watch("k")
    (waiting,) = await attached(closing, watch)
    await watch.aclose()
    with pytest.raises(StopAsyncIteration):
        await waiting
    await leaving.wait()
    await closing.close()
    assert [connection.is_closed() for connection in left] == [True]


async def test_callers_that_wait_for_room_are_told_of_the_end(
    connect: Connect, state: State, locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_gather, "MAX_QUEUE", 2)
    await state.put("k", 0)
    closing = await connect()
    async with locks.on("k"):
        # one under way, two in the queue
        inside = [asyncio.create_task(closing.put("k", n)) for n in (1, 2, 3)]
        await locks.waited_for()
        outside = [asyncio.create_task(closing.put("k", n)) for n in (4, 5)]
        await asyncio.sleep(0)
        end = asyncio.create_task(closing.close())
        for task in outside:
            with pytest.raises(errors.Closed):
                await task
    assert await asyncio.gather(*inside) == [2, 3, 4]
    await end


async def test_another_event_loop_is_told_so(state: State) -> None:
    """It would wait for ever, and what it had queued would keep the state's own loop from ever going on."""
    cursor = await state.cursor()
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "put": lambda: state.put("k", 1),
        "get": lambda: state.get("k"),
        "list": lambda: state.list("**"),
        "claim": lambda: state.claim("k"),
        "save": lambda: state.thread("t").save({"n": 1}),
        "watch": lambda: anext(state.watch("**")),
        "watch since": lambda: anext(state.watch("**", since=cursor)),
        "close": state.close,
    }

    async def told(call: Callable[[], Awaitable[object]]) -> str:
        with pytest.raises(RuntimeError, match="belongs to the event loop that it was connected in") as raised:
            async with asyncio.timeout(5):
                await call()
        return str(raised.value)

    for call in calls.values():
        await asyncio.to_thread(lambda call=call: asyncio.run(told(call)))
    assert await state.put("k", 2) == 1
    assert await state.list("**")
