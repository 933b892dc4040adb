"""What makes a watch look: wake-ups by writers of every kind, and polling where one is lost."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from _server import SUPERUSER
from client._watching import GUARD, attached
from client.conftest import Connect, MakeLogin
from conftest import Database
from pgstate import State, _hub, _waker
from pgstate._calls import feed, values
from pgstate._calls._run import ReadOnly
from pgstate._core import Core

OpenConnection = Callable[..., Awaitable[asyncpg.Connection]]


@pytest.fixture
def wake_ups_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read unless somebody was woken."""
    monkeypatch.setattr(_hub, "_POLL", 3600.0)
    monkeypatch.setattr(_hub, "_SETTLE_LIMIT", -1.0)


@pytest.fixture
def poll_only(monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    """No wake-up is ever sent."""
    arguments = "p_keys text[], p_within pgstate.keymultirange default null"
    database.sql(f"create or replace function pgstate._wake({arguments}) returns void language sql as ''")
    # of a lone write, which wakes in its own transaction
    arguments = "p_lane uuid, p_turn bigint, p_outcome jsonb, p_keys text[], p_alone boolean, p_now timestamptz"
    database.sql(
        f"create or replace function pgstate._finish({arguments}) returns boolean language sql as 'select true'"
    )
    monkeypatch.setattr(_hub, "_SETTLE_LIMIT", -1.0)


@pytest.mark.parametrize("writer", ["sql", "rows", "same client", "another client", "apply"])
async def test_a_write_wakes_its_watchers(
    wake_ups_only: None, state: State, connect: Connect, admin: asyncpg.Connection, writer: str
) -> None:
    other = await connect()
    async with state.watch("k/*") as watch:
        (waiting,) = await attached(state, watch)
        if writer == "sql":
            await admin.execute("select pgstate.put('k/1', '1')")
        elif writer == "rows":
            async with admin.transaction():
                await admin.execute("select pgstate.merge('k/1', '1', 'add')")
                await admin.execute("select pgstate.put('elsewhere', '1')")
        elif writer == "apply":
            await other.apply(operations=[{"op": "put", "key": "k/1", "value": 1}])
        else:
            await (state if writer == "same client" else other).put("k/1", 1)
        async with asyncio.timeout(GUARD):
            assert (await waiting).value == 1


async def test_nobody_watches_and_nothing_is_sent(
    state: State, connect: Connect, connect_as: OpenConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_hub, "_LINGER", 0.0)
    superuser = await connect_as(SUPERUSER)
    await asyncio.gather(*(state.put(f"k{n}", n) for n in range(50)))
    assert state.stats.wakeups_sent == 0
    other = await connect()
    for ending in ("closed", "dropped"):
        watch = other.watch("k*")
        await attached(other)
        (waiting,) = await attached(state, watch)
        await state.put("k1", 1)
        await waiting
        assert await superuser.fetchval("select count(*) from pgstate.watcher") >= 1
        if ending == "closed":
            await watch.aclose()
        del watch, waiting
        gc.collect()
        async with asyncio.timeout(GUARD):
            while await superuser.fetchval("select count(*) from pgstate.watcher"):
                await asyncio.sleep(0.005)
            # what came while one was on its way is sent after it
            while (sending := state._core._waker._task) is not None and not sending.done():
                await asyncio.sleep(0.005)
        sent = state.stats.wakeups_sent
        await asyncio.gather(*(state.put(f"k{n}", n) for n in range(50)))
        assert state.stats.wakeups_sent == sent


async def test_a_lost_wake_up_costs_delay_only(poll_only: None, state: State) -> None:
    async with state.watch("k") as watch:
        (waiting,) = await attached(state, watch)
        await state.put("k", 1)
        async with asyncio.timeout(GUARD):
            assert (await waiting).value == 1
    assert state.stats.wakeups_received == 0


async def test_a_wake_up_that_fails_leaves_the_write_acknowledged(state: State, database: Database) -> None:
    arguments = "p_keys text[], p_within pgstate.keymultirange default null"
    body = "$$ begin raise exception 'no wake-up'; end $$"
    database.sql(f"create or replace function pgstate._wake({arguments}) returns void language plpgsql as {body}")
    async with state.watch("k") as watch:
        (waiting,) = await attached(state, watch)
        before = state.stats.wakeups_sent
        assert await state.put("k", 1) == 1
        async with asyncio.timeout(GUARD):
            while state.stats.wakeups_sent == before:
                await asyncio.sleep(0.005)
            assert (await waiting).value == 1


async def test_a_wake_up_that_fails_in_the_application_takes_no_other_with_it(
    wake_ups_only: None, state: State, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as in a hook of its pool."""
    writer = await connect()
    real, failed = writer._core.source.take, False

    async def take(timeout: float | None = None) -> Any:
        nonlocal failed
        if not failed:
            failed = True
            raise ValueError("hook")
        return await real(timeout)

    async with state.watch("a") as watch:
        (waiting,) = await attached(state, watch)
        received = state.stats.wakeups_received
        monkeypatch.setattr(writer._core.source, "take", take)
        # one wake-up each; what was asked for last is sent first
        writer._core.wake(["a"], None)
        writer._core.wake(["b"], "another")
        async with asyncio.timeout(GUARD):
            while state.stats.wakeups_received == received:
                await asyncio.sleep(0.005)
            await state.put("a", 1)
            await waiting
    assert failed


async def test_writes_are_ready_to_wake_while_somebody_watches(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_waker, "_LEAST_INTERVAL", 0.0)
    assert isinstance(state._core, Core)
    waker = state._core._waker
    sent: list[str] = []

    def spy_on(name: str) -> None:
        real = getattr(values, name)

        async def spy(*args: Any, **options: Any) -> Any:
            sent.append(name)
            return await real(*args, **options)

        monkeypatch.setattr(values, name, spy)

    spy_on("write_one")
    spy_on("write_and_wake")
    await state.put("k", 0)
    assert sent == ["write_one"]
    async with state.watch("k") as watch:
        (waiting,) = await attached(state, watch)
        async with asyncio.timeout(GUARD):
            while sent[-1] == "write_one":
                await state.put("k", 1)
                if waker._task is not None:
                    await waker._task
        assert (await waiting).value == 1
    monkeypatch.setattr(_waker, "_WATCHED", 0.0)
    await state.put("k", 2)
    assert sent[-1] == "write_one"


async def test_a_writer_who_was_under_way_when_the_watch_began(
    state: State, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_hub, "_POLL", 3600.0)
    transaction = admin.transaction()
    await transaction.start()
    # nobody watches: its trigger wakes nobody
    await admin.execute("select pgstate.put('k', '1')")
    watch = state.watch("k", since=await state.cursor())
    (waiting,) = await attached(state, watch)
    await transaction.commit()
    async with asyncio.timeout(GUARD):
        assert (await waiting).value == 1
    await watch.aclose()


async def test_a_feed_that_answers_late_is_asked_again(
    connect: Connect, connect_as: OpenConnection, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    superuser = await connect_as(SUPERUSER)
    impatient = await connect()
    monkeypatch.setattr(impatient._core.hub, "_timeout", 1.0)
    watch = impatient.watch("k", since=await impatient.cursor())
    waiting = asyncio.ensure_future(anext(watch))
    async with superuser.transaction():
        await superuser.execute("lock table pgstate.watcher in access exclusive mode")
        blocked = await connect_as(SUPERUSER)
        async with asyncio.timeout(GUARD):
            while not (pid := await blocked.fetchval("select min(pid) from pg_locks where not granted")):
                await asyncio.sleep(0.005)
            # until another connection of the feed reader waits there
            while not await blocked.fetchval(
                "select exists (select from pg_locks where not granted and pid <> $1)", pid
            ):
                await asyncio.sleep(0.005)
    await state.put("k", 1)
    async with asyncio.timeout(GUARD):
        assert (await waiting).value == 1
    await watch.aclose()


async def test_sessions_that_only_read_watch_by_asking(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    state: State,
    make_agent: MakeLogin,
    connect: Connect,
    database: Database,
) -> None:
    login = await make_agent("alice", "read k/**", login=True)
    name = database.sql("select current_database()")[0][0]
    database.sql(f'alter role {login} in database "{name}" set default_transaction_read_only = on')
    monkeypatch.setattr(_hub, "_POLL", 0.05)
    reader = await connect(login)
    with caplog.at_level("WARNING", "pgstate"):
        async with asyncio.timeout(GUARD), reader.watch("k/*", initial=True) as changes:
            await state.put("k/1", 1)
            assert (await anext(changes)).value == 1
            await state.put("k/1", 2)
            assert (await anext(changes)).value == 2
    assert [record.message for record in caplog.records] == [
        "watches ask once a second: sessions only read (default_transaction_read_only, a standby)"
    ]
    assert database.sql("select from pgstate.watcher") == []


@pytest.mark.core
async def test_sessions_that_write_again_are_woken_again(
    monkeypatch: pytest.MonkeyPatch, make_agent: MakeLogin, connect: Connect, database: Database
) -> None:
    """As those of a standby do that was promoted under them."""
    login = await make_agent("alice", "read k/**", login=True)
    monkeypatch.setattr(_hub, "_POLL", 0.05)
    monkeypatch.setattr(_hub, "_REGISTER", 0.05)
    subscribe = feed.subscribe
    asked, registered = 0, asyncio.Event()

    async def subscribe_or_not(*args: Any, **options: Any) -> str:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise ReadOnly("cannot execute INSERT in a read-only transaction", "25006")
        channel = await subscribe(*args, **options)
        registered.set()
        return channel

    monkeypatch.setattr(feed, "subscribe", subscribe_or_not)
    reader = await connect(login)
    async with asyncio.timeout(GUARD), reader.watch("k/*") as changes:
        waiting = asyncio.ensure_future(anext(changes))
        await registered.wait()
        waiting.cancel()
