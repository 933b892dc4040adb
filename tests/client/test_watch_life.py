"""A watch from its beginning to its end: what it tells, what wakes it, and what ends it."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from _cases import first_of
from client._promises import ids
from client._proxy import Proxy
from client._watching import GUARD, attached, take
from client.conftest import Connect, MakeLogin
from conftest import Clock, Database
from pgstate import Change, State, errors
from pgstate._calls import feed

OpenConnection = Callable[..., Awaitable[asyncpg.Connection]]


async def test_every_kind_of_change(state: State, clock: Clock) -> None:
    async with state.watch("k/**") as watch:
        await state.put("k", 1)
        await state.merge("k", {"a": None}, "replace")
        await state.delete("k")
        await state.put("k/short", None, ttl=100)
        await state.put("k/task", [1])
        claim = await state.claim("k/task")
        assert claim is not None
        await state.complete("k/task", claim.token)
        await state.put("other", 1)
        found = await take(watch, 6)
        # the feed reader writes expiries itself
        await clock.advance(101)
        found += await take(watch, 1)
    shown = [(c.key, c.version, c.op, c.value, c.previous, c.created, c.exists, c.writer) for c in found]
    assert shown == [
        ("k", 1, "put", 1, None, True, True, "admin"),
        ("k", 2, "merge", {"a": None}, 1, False, True, "admin"),
        ("k", 3, "delete", None, {"a": None}, False, False, "admin"),
        ("k/short", 1, "put", None, None, True, True, "admin"),
        ("k/task", 1, "put", [1], None, True, True, "admin"),
        ("k/task", 2, "complete", None, [1], False, False, "admin"),
        ("k/short", 2, "expire", None, None, False, False, "pgstate"),
    ]
    assert {change.via for change in found} == {"installer"}
    now = await clock.now()
    assert all(change.at <= now for change in found)
    assert found[3].expires_at is not None and found[0].expires_at is None
    assert watch.cursor == found[-1].cursor


async def test_it_begins_when_it_is_entered_or_first_awaited(state: State) -> None:
    await state.put("k", "before")
    entered = state.watch("k")
    async with entered:
        await state.put("k", "after")
        assert (await take(entered, 1))[0].value == "after"
    awaited = state.watch("k")
    await state.put("k", "not yet")
    (waiting,) = await attached(state, awaited)
    await state.put("k", "now")
    assert (await waiting).value == "now"
    await awaited.aclose()


async def test_keys_in_a_namespace_are_short(state: State) -> None:
    home = state.namespace("home")
    await home.put("a", 1)
    async with home.watch(initial=True) as watch:
        await state.put("away", 1)
        await home.put("b/c", 2)
        assert ids(await take(watch, 2)) == [("a", 1), ("b/c", 1)]
        assert [c.key for c in (await home.changes(await _start(home), "*")).changes] == ["a"]


async def _start(state: State) -> str:
    """A cursor from before everything."""
    return (await state.cursor()).rsplit(".", 1)[0] + ".3:3:"


async def test_patterns_that_overlap_tell_once(state: State) -> None:
    async with state.watch(["a/**", "a/*", "**/b", "a/b"]) as watch:
        for key in ("a/b", "x/b", "a", "ab", "a/c/d"):
            await state.put(key, 1)
        await state.put("a/b", "end")
        assert ids(await take(watch, 5)) == [("a/b", 1), ("x/b", 1), ("a", 1), ("a/c/d", 1), ("a/b", 2)]


async def test_whole_is_told_to_each_watch_for_itself(state: State, admin: asyncpg.Connection) -> None:
    async with state.watch("x/*") as first, state.watch(["y/*", "z"]) as second:
        waiting = await attached(state, first, second)
        keys = ["x/1", "x/2", "y/1", "y/2", "z"]
        await admin.fetch("select pgstate.put_many($1, array_fill('1'::jsonb, array[5]))", keys)
        told = [
            [await one, *await take(watch, more)]
            for one, watch, more in zip(waiting, (first, second), (1, 2), strict=True)
        ]
    assert [[change.key for change in changes] for changes in told] == [keys[:2], keys[2:]]
    assert [[change.whole for change in changes] for changes in told] == [[False, True], [False, False, True]]


async def test_a_right_taken_away_is_gone_at_once(state: State, gateway: Connect, make_agent: MakeLogin) -> None:
    await make_agent("alice", "read a/**", "read shared/**")
    await make_agent("bob", "read a/**")
    shared = await gateway("alice", "bob")
    alice, bob = (
        shared.as_agent(name).watch(["a/**"] if name == "bob" else ["a/**", "shared/**"]) for name in ("alice", "bob")
    )
    async with alice, bob:
        await state.put("a/1", 1)
        assert ids(await take(alice, 1)) == ids(await take(bob, 1)) == [("a/1", 1)]
        await state.revoke_access("alice", "a/**", "read")
        await state.put("a/1", "hidden")
        await state.put("shared/1", 1)
        assert ids(await take(alice, 1)) == [("shared/1", 1)]
        assert ids(await take(bob, 1)) == [("a/1", 2)]
        await state.grant_access("alice", "a/1", "read")
        await state.put("a/1", "shown")
        await state.put("a/2", "hidden")
        await state.put("shared/1", 2)
        assert ids(await take(alice, 2)) == [("a/1", 3), ("shared/1", 2)]
        assert ids(await take(bob, 2)) == [("a/1", 3), ("a/2", 1)]


@pytest.mark.parametrize("how", ["denial", "group", "end"])
async def test_what_an_agent_may_not_any_more_is_not_told(
    state: State, gateway: Connect, agent: Connect, make_agent: MakeLogin, clock: Clock, how: str
) -> None:
    """In watches that are open, of a login of its own and through a gateway, from the next change on."""
    own = await agent("alice", "read shared/**")
    await state.create_group("crew")
    await state.add_to_group("crew", "alice")
    if how == "end":
        await state.grant_access("alice", "a/**", "read", ttl=60)
    else:
        await state.grant_access("crew", "a/**", "read")
    through = (await gateway("alice")).as_agent("alice")
    async with own.watch(["a/**", "shared/**"]) as first, through.watch(["a/**", "shared/**"]) as second:
        await state.put("a/1", 1)
        assert ids(await take(first, 1)) == ids(await take(second, 1)) == [("a/1", 1)]
        if how == "denial":
            await state.deny_access("crew", "a/**", "read")
        elif how == "group":
            await state.remove_from_group("crew", "alice")
        else:
            await clock.advance(61)
        await state.put("a/1", "hidden")
        await state.put("shared/1", 1)
        assert ids(await take(first, 1)) == ids(await take(second, 1)) == [("shared/1", 1)]


async def test_a_delegation_taken_away_ends_that_agents_watches_only(
    state: State, gateway: Connect, make_agent: MakeLogin
) -> None:
    for name in ("alice", "bob"):
        await make_agent(name, "read a/**")
    shared = await gateway("alice", "bob")
    login = (await shared.info()).login
    views = [shared.as_agent(name) for name in ("alice", "alice", "bob")]
    watches = [view.watch("a/**") for view in views]
    waiting = await attached(state, *watches)
    await state.undelegate(login, "alice")
    await state.put("a/1", 1)
    async with asyncio.timeout(GUARD):
        assert (await waiting[2]).key == "a/1"
        for refused in waiting[:2]:
            with pytest.raises(errors.AccessDenied):
                await refused
    with pytest.raises(errors.AccessDenied):
        await anext(watches[0])
    await state.put("a/2", 1)
    assert ids(await take(watches[2], 1)) == [("a/2", 1)]
    await state.delegate(login, "alice")
    async with views[0].watch("a/**", since=watches[0].cursor) as again:
        assert ids(await take(again, 2)) == [("a/1", 1), ("a/2", 1)]


@pytest.mark.parametrize("what", ["agent", "login", "gateway"])
async def test_what_is_dropped_has_no_watches(
    state: State, agent: Connect, gateway: Connect, login_name: Callable[[str], str], what: str
) -> None:
    own = await agent("alice", "read a/**")
    shared = await gateway("alice")
    watches = [own.watch("a/**"), shared.as_agent("alice").watch("a/**")]
    waiting = await attached(state, *watches)
    if what == "agent":
        await state.drop_agent("alice")
    elif what == "login":
        await state.set_login("alice", login_name("moved"))
    else:
        await state.drop_gateway((await shared.info()).login)
    await state.put("a/1", 1)
    for kind, task in zip(("login", "gateway"), waiting, strict=True):
        async with asyncio.timeout(GUARD):
            if what in ("agent", kind):
                with pytest.raises(errors.AccessDenied):
                    await task
            else:
                assert (await task).key == "a/1"


@pytest.mark.parametrize("end", ["answer", "aclose"])
async def test_reading_on_outlasts_a_server_that_is_down(
    state: State, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    start = await state.cursor()
    versions = [await state.put("k", n) for n in range(3)]
    refusals = 0
    real = feed.changes

    async def down(*arguments: Any, **options: Any) -> Any:
        nonlocal refusals
        refusals += 1
        if refusals <= 2 or end == "aclose":
            raise errors.Unreachable("the server is down")
        return await real(*arguments, **{**options, "timeout": GUARD})

    monkeypatch.setattr(feed, "changes", down)
    # less patience than the server needs: a statement gives up, a watch does not; the short time is for what fails
    watch = state.with_timeout(0.01).watch("k", since=start)
    if end == "answer":
        assert [change.version for change in await take(watch, 3)] == versions
        assert refusals >= 3
        return
    waiting = asyncio.ensure_future(anext(watch))
    async with asyncio.timeout(GUARD):
        while refusals < 2:
            await asyncio.sleep(0.01)
        await watch.aclose()
        with pytest.raises(StopAsyncIteration):
            await waiting


@pytest.mark.parametrize("reader", first_of(["the feed reader", "a watch that reads on"]))
async def test_a_lost_server_is_told_once_and_once_that_it_is_back(
    connect: Connect, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, reader: str
) -> None:
    caplog.set_level(logging.DEBUG, "pgstate")
    far = await connect(dsn=proxy.dsn)
    refusals = 0

    def failing(real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def fail(*arguments: Any, **options: Any) -> Any:
            nonlocal refusals
            refusals += 1
            if refusals % 4:
                raise errors.Unreachable("the server is down")
            return await real(*arguments, **options)

        return fail

    def told() -> list[tuple[str, str]]:
        return [(r.levelname, r.getMessage()) for r in caplog.records if r.getMessage().startswith(reader)]

    if reader == "the feed reader":
        async with far.watch("k") as watch:
            (waiting,) = await attached(far, watch)
            monkeypatch.setattr(far._core.source, "listener", failing(far._core.source.listener))
            for number in range(2):
                proxy.cut()
                await far.put("k", number)
                async with asyncio.timeout(GUARD):
                    assert (await waiting).value == number
                waiting = asyncio.ensure_future(anext(watch))
            waiting.cancel()
    else:
        start, real = await far.cursor(), feed.changes
        await far.put("k", 1)
        # the short time is for what fails
        monkeypatch.setattr(
            feed, "changes", failing(lambda *arguments, **options: real(*arguments, **{**options, "timeout": GUARD}))
        )
        for _ in range(2):
            assert ids(await take(far.with_timeout(0.01).watch("k", since=start), 1)) == [("k", 1)]
    loud = [text for level, text in told() if level == "WARNING"]
    assert [text.split(": ")[0].split(" after ")[0] for text in loud] == [
        f"{reader} lost the server and tries until it is back",
        f"{reader} goes on",
    ] * 2
    assert re.search(r"goes on after \d+\.\d s$", loud[1])
    assert len([text for level, text in told() if level == "DEBUG"]) >= 2


async def test_close_ends_watches(connect: Connect) -> None:
    state = await connect()
    idle, full, never, late = (state.watch(f"k/{n}") for n in range(4))
    cursor = await state.cursor()
    waiting = await attached(state, idle, full)
    await state.put("k/1", 1)
    await waiting[1]
    await state.close()
    for watch in (waiting[0], anext(idle), anext(full), anext(never), anext(late), anext(state.watch(since=cursor))):
        with pytest.raises(errors.Closed):
            async with asyncio.timeout(GUARD):
                await watch
    for watch_ in (idle, full, never, late):
        await watch_.aclose()


async def test_aclose_ends_the_waiting_too(state: State) -> None:
    watches = [state.watch("k"), state.watch("k"), state.watch("k", initial=True)]
    (waiting,) = await attached(state, watches[0])
    others = [asyncio.ensure_future(anext(watch)) for watch in watches[1:]]
    await asyncio.sleep(0)
    for watch, task in zip(watches, [waiting, *others], strict=True):
        await watch.aclose()
        async with asyncio.timeout(GUARD):
            with pytest.raises(StopAsyncIteration):
                await task
        assert [change async for change in watch] == []


async def test_cancelling_a_wait_loses_nothing(state: State) -> None:
    await state.put("k", 0)
    async with state.watch("k", initial=True) as watch:
        found: list[Change] = []
        for number in range(1, 30):
            # cancelled after a number of the loop's turns: while it lists, joins, catches up, waits
            waiting = asyncio.ensure_future(anext(watch))
            for _ in range(number):
                await asyncio.sleep(0)
            waiting.cancel()
            found += [
                done for done in await asyncio.gather(waiting, return_exceptions=True) if isinstance(done, Change)
            ]
            await state.put("k", number)
        while not found or found[-1].version < 30:
            found += await take(watch, 1)
    assert [change.op for change in found] == ["entry"] + ["put"] * (len(found) - 1)
    assert [change.version for change in found] == list(range(found[0].version, 31))


async def test_cancelled_beginnings_leave_other_watches_alone(state: State) -> None:
    async with state.watch("k") as watch:
        (waiting,) = await attached(state, watch)
        for turns in range(40):
            since = await state.cursor()
            starts = [asyncio.ensure_future(anext(state.watch("k", since=since))) for _ in range(3)]
            for _ in range(turns % 20):
                await asyncio.sleep(0)
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
        await state.put("k", 1)
        async with asyncio.timeout(GUARD):
            assert (await waiting).value == 1


async def test_a_watch_has_one_consumer(state: State) -> None:
    async with state.watch("k") as watch:
        (waiting,) = await attached(state, watch)
        with pytest.raises(RuntimeError, match="one consumer"):
            await anext(watch)
        await state.put("k", 1)
        assert (await waiting).value == 1


async def test_a_consumer_that_nobody_refers_to_lives(state: State) -> None:
    arrived: asyncio.Queue[Any] = asyncio.Queue()

    async def consume() -> None:
        async for change in state.watch("k", since=cursor):
            arrived.put_nowait(change.value)

    cursor = await state.cursor()
    asyncio.create_task(consume())  # noqa: RUF006
    for number in range(3):
        await attached(state)
        gc.collect()
        await state.put("k", number)
        async with asyncio.timeout(GUARD):
            assert await arrived.get() == number


async def test_stopping_to_iterate_ends_the_watch(state: State) -> None:
    hub = state._core.hub
    cursor = await state.cursor()
    for number in range(3):
        await state.put("k", number)
        async for change in state.watch("k", since=cursor):
            cursor = change.cursor
            break
        gc.collect()
        assert not hub.reading


async def test_beginnings_that_cannot_be(state: State, agent: Connect, database: Database) -> None:
    cursor = await state.cursor()
    with pytest.raises(errors.InvalidArgument):
        state.watch(since=cursor, initial=True)
    with pytest.raises(errors.InvalidPattern):
        state.watch("a**")
    for bad in ("", "nonsense", cursor + "1", cursor.replace("1.", "2.", 1)):
        with pytest.raises(errors.CursorInvalid):
            await anext(state.watch(since=bad))
    head, _, snapshot = cursor.rpartition(".")
    with pytest.raises(errors.CursorInvalid, match="ahead"):
        await anext(state.watch(since=f"{head}.999999:999999:"))
    with pytest.raises(errors.CursorExpired):
        await anext(state.watch(since=f"{head[:-1]}A.{snapshot}"))
    alice = await agent("alice", "read a/**", "write b/**")
    for patterns in ("b/**", ["a/**", "b/**"], "c"):
        for how in ({}, {"initial": True}, {"since": cursor}):
            with pytest.raises(errors.AccessDenied):
                await anext(alice.watch(patterns, **how))  # type: ignore[arg-type]
        with pytest.raises(errors.AccessDenied):
            async with alice.watch(patterns):
                pass


async def test_a_watch_says_so_when_it_cannot_go_on(state: State, connect: Connect, database: Database) -> None:
    watch = state.watch("k")
    (waiting,) = await attached(state, watch)
    await state.put("k", 1)
    cursor = (await waiting).cursor
    # as after a restore elsewhere: the transaction ids of before mean nothing
    database.sql("update pgstate.install set identity = '1:1'")
    other = await connect()
    with pytest.raises(errors.FeedUnavailable):
        await other.cursor()
    # the first write begins the next epoch
    await other.put("k", 2)
    with pytest.raises(errors.CursorExpired):
        await take(watch, 1)
    with pytest.raises(errors.CursorExpired):
        await take(state.watch(since=cursor), 1)
    async with state.watch("k", initial=True) as again:
        assert ids(await take(again, 1)) == [("k", 2)]
        await state.put("k", 3)
        assert ids(await take(again, 1)) == [("k", 3)]
