"""Watches under a storm of writers: the nine promises, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import pytest

from _cases import first_of
from _server import SUPERUSER
from client._promises import check, check_cursors, drain, ids, read_log
from client._storm import END, Storm
from client.conftest import Connect, MakeLogin
from pgstate import Change, State
from pgstate._areas import _watch

OpenConnection = Callable[..., Awaitable[asyncpg.Connection]]
MakeStorm = Callable[..., Awaitable[Storm]]


@pytest.fixture
def make_storm(connect: Connect, connect_as: OpenConnection, state: State) -> MakeStorm:
    async def make(seed: int, steps: int = 30) -> Storm:
        await state.put("a", "here")
        clients = [await connect() for _ in range(2)]
        sessions = [await connect_as() for _ in range(3)]
        return Storm(random.Random(seed), clients, sessions, steps)

    return make


@pytest.fixture
async def superuser(connect_as: OpenConnection) -> asyncpg.Connection:
    return await connect_as(SUPERUSER)


def under(*roots: str) -> Callable[[str], bool]:
    return lambda key: key in (END, *roots) or key.startswith(tuple(f"{root}/" for root in roots))


async def follow(state: State, cursor: str, patterns: str | Sequence[str] = "") -> list[Change]:
    found = []
    async with state.watch(patterns, since=cursor) as watch:
        async for change in watch:
            found.append(change)
            if change.key == END:
                break
    return found


async def follow_in_pieces(
    states: Sequence[State], cursor: str, chance: random.Random, patterns: str | Sequence[str] = ""
) -> list[Change]:
    """A consumer that is killed after some change and started again, in another client."""
    found: list[Change] = []
    while not found or found[-1].key != END:
        watch = chance.choice(states).watch(patterns, since=cursor)
        for _ in range(chance.choice([1, 1, 2, 5, 13])):
            found.append(await anext(watch))
            cursor = found[-1].cursor
            if found[-1].key == END:
                break
        if chance.random() < 0.5:
            await watch.aclose()
    return found


async def follow_by_page(
    state: State, cursor: str, chance: random.Random, storm: Storm, patterns: str | Sequence[str] = ""
) -> list[Change]:
    """A consumer of changes() that stops after any change of a page."""
    found: list[Change] = []
    while not found or found[-1].key != END:
        page = await state.changes(cursor, patterns, limit=chance.randrange(1, 21))
        stop = chance.randrange(len(page) + 1)
        found += page.changes[: stop or None]
        cursor = page.changes[stop - 1].cursor if stop else page.cursor
        if not page.changes:
            await storm.passed(1)
    return found


async def hub_killer(storm: Storm, superuser: asyncpg.Connection, every: int) -> None:
    """Ends the connections that read the feed, again and again."""
    while not storm.over.is_set():
        await storm.passed(every)
        await superuser.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and query ~ 'changes_for|subscribe|pg_snapshot_xmin'"
            "  and pid <> pg_backend_pid()"
        )
        if storm.finished:
            return


@pytest.mark.parametrize("seed", first_of(range(4)))
async def test_the_promises_in_a_storm(
    state: State, connect: Connect, make_storm: MakeStorm, superuser: asyncpg.Connection, seed: int
) -> None:
    storm = await make_storm(seed)
    chance = random.Random(f"consumers {seed}")
    other = await connect()
    start = await state.cursor()
    some = ["shared/*", "w1/**", END]
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        everything = group.create_task(follow(state, start))
        filtered = group.create_task(follow(state, start, some))
        elsewhere = group.create_task(follow(other, start, some))
        pieces = group.create_task(follow_in_pieces([state, other], start, chance))
        small_pieces = group.create_task(follow_in_pieces([state, other], start, chance, ["sums/**", "w2/?", END]))
        paged = group.create_task(follow_by_page(other, start, chance, storm))
        paged_some = group.create_task(follow_by_page(other, start, chance, storm, some))
        if seed % 2:
            group.create_task(hub_killer(storm, superuser, every=8))
        storm.start(group)
    log = await read_log(superuser)
    before = {log[0].id}
    assert log[0].key == "a" and {row.op for row in log} == {"put", "merge", "delete", "expire"}
    for received in (everything, pieces, paged):
        check(received.result(), log, seen=before)
    for received in (filtered, elsewhere, paged_some):
        check(received.result(), log, under("shared", "w1"))
    check(small_pieces.result(), log, under("sums", "w2"))
    for received in (everything, pieces, paged):
        changes = received.result()
        places = chance.sample(range(len(changes)), 6)
        await check_cursors(other, changes, log, places, limits=[chance.randrange(1, 21)], seen=before)
    # cursors that were taken inside writing transactions, whether those were committed or not
    assert len(storm.cursors) > 3
    for cursor, seen in storm.cursors[:12]:
        check(await drain(other, cursor, limits=[chance.randrange(1, 21)]), log, seen=seen)
    cursor, seen = storm.cursors[-1]
    check(await follow(state, cursor), log, seen=seen)


async def test_agents_of_one_gateway_get_what_is_theirs(
    state: State, gateway: Connect, make_agent: MakeLogin, make_storm: MakeStorm, superuser: asyncpg.Connection
) -> None:
    await make_agent("alice", "read shared/**", "read w0/**", f"read {END}")
    await make_agent("bob", "read sums/**", "read w0/**", "write w1/**", f"read {END}")
    shared = await gateway("alice", "bob")
    alice, bob = shared.as_agent("alice"), shared.as_agent("bob")
    storm = await make_storm(7)
    start = await state.cursor()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        followed = [
            (group.create_task(follow(alice, start)), under("shared", "w0")),
            (group.create_task(follow(bob, start)), under("sums", "w0")),
            (
                group.create_task(follow(alice, start, ["**/1", "w0/**", END])),
                lambda k: k in ("shared/1", END) or k[:3] == "w0/",
            ),
            (group.create_task(follow(bob, start, ["w0/*", "*/shared/**", END])), under("sums", "w0")),
        ]
        storm.start(group)
    log = await read_log(superuser)
    for received, wants in followed:
        check(received.result(), log, wants)
    assert shared.stats.changes > 0


@pytest.mark.parametrize("seed", first_of(range(2)))
async def test_a_listing_and_what_follows_it_have_no_gap(
    state: State, make_storm: MakeStorm, superuser: asyncpg.Connection, seed: int
) -> None:
    storm = await make_storm(seed + 10)
    patterns = ["shared/**", "w0/*", END]
    wants = under("shared", "w0")

    async def list_and_follow(after: int) -> tuple[list[Change], list[Change]]:
        await storm.passed(after)
        listed, followed = [], []
        async for change in state.watch(patterns, initial=True):
            (listed if change.op == "entry" else followed).append(change)
            assert not followed or change.op != "entry"
            if change.key == END:
                return listed, followed
        raise AssertionError

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        storm.start(group)
        await storm.passed(3)
        readers = [group.create_task(list_and_follow(after)) for after in (0, 5, 15, 30, 45)]
    log = await read_log(superuser)
    for reader in readers:
        listed, followed = reader.result()
        # what had been seen when it was listed, by the listing's cursor
        cursor = listed[-1].cursor if listed else followed[0].cursor
        if listed:
            assert {change.cursor for change in listed} == {cursor}
            rest = {*ids(await drain(state, cursor, patterns))}
            seen = {row.id for row in log if wants(row.key)} - rest
            check(followed, log, wants, seen=seen)
            newest = {key: version for key, version in sorted(seen)}
            by_id = {row.id: row for row in log}
            living = {(k, v) for k, v in newest.items() if by_id[k, v].value is not None}
            assert set(ids(listed)) <= living
            # what expired is not listed, even before its expiry has been written
            assert all(key.startswith("short/") for key, _ in living - set(ids(listed)))
            assert [change.key for change in listed] == sorted(change.key for change in listed)
            assert [change.whole for change in listed] == [False] * (len(listed) - 1) + [True]


@pytest.mark.parametrize("buffer", [1, 7])
async def test_a_slow_consumer_holds_nobody_back_and_misses_nothing(
    state: State, make_storm: MakeStorm, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, buffer: int
) -> None:
    monkeypatch.setattr(_watch, "_BUFFER", buffer)
    storm = await make_storm(3)
    start = await state.cursor()

    async def dawdle(pause: int) -> list[Change]:
        found: list[Change] = []
        async with state.watch(since=start) as watch:
            async for change in watch:
                found.append(change)
                if change.key == END:
                    return found
                if len(found) % 5 == 0:
                    await storm.passed(pause)
        raise AssertionError

    async with state.watch(since=start) as idle, asyncio.timeout(60):
        async with asyncio.TaskGroup() as group:
            storm.start(group)
            first = [await anext(idle)]
            slow = [group.create_task(dawdle(pause)) for pause in (1, 20)]
            quick = group.create_task(follow(state, start))
        # the one that never read on gets it all now
        first += [change async for change in until_end(idle)]
    log = await read_log(superuser)
    for received in (first, quick.result(), *(task.result() for task in slow)):
        check(received, log, seen={log[0].id})


async def until_end(watch: Any) -> Any:
    async for change in watch:
        yield change
        if change.key == END:
            return
