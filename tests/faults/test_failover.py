"""A streaming standby is promoted in the middle: what was acknowledged is there, once; a cursor from before is refused, and
never answered with silence or with too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import psycopg
import pytest

import pgstate
from _server import Cluster
from client._promises import check, drain, ids
from client._proxy import Proxy
from client._watching import take
from conftest import INSTALLER, Database
from faults._server import Standby, crash, log_of, socket_of
from pgstate import Change, State, errors

GUARD = 60


@pytest.fixture
def standby(doomed: Database) -> Iterator[Standby]:
    """It is complete: no commit is acknowledged before it is there."""
    made = Standby(doomed.cluster)
    made.start()
    doomed.cluster.sql("alter system set synchronous_standby_names = '*'")
    doomed.cluster.sql("select pg_reload_conf()")
    yield made
    made.remove()


@pytest.fixture
async def way(doomed: Database) -> AsyncIterator[Proxy]:
    """To the server that is the primary."""
    made = Proxy(socket_of(doomed.cluster), INSTALLER, doomed.name)
    await made.start()
    yield made
    await made.stop()


async def _fail_over(old: Cluster, standby: Standby, way: Proxy, *clients: State) -> None:
    """The server is gone, and clients are led to the standby, some time before it is promoted."""
    await asyncio.to_thread(crash, old)
    way.lead_to(socket_of(standby))
    tried = {state: state.stats.retries + 3 for state in clients}
    while any(state.stats.retries < enough for state, enough in tried.items()):
        await asyncio.sleep(0.005)
    await asyncio.to_thread(standby.promote)


class Load:
    """Increments, each of which is acknowledged in the end."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self.stopping = False
        self._moved = asyncio.Condition()

    async def run(self, state: State) -> None:
        while not self.stopping:
            try:
                self.acknowledged.append(await state.merge("sum", 1, "add"))
            except errors.DatabaseError as error:
                # told of a call of which nothing was sent elsewhere before: it has not happened
                assert error.code == "25006"
            async with self._moved:
                self._moved.notify_all()

    async def passed(self, count: int) -> None:
        target = len(self.acknowledged) + count
        async with self._moved:
            await self._moved.wait_for(lambda: len(self.acknowledged) >= target)


async def _follow(state: State, cursor: str) -> list[Change]:
    """Until it is told that it cannot go on."""
    found: list[Change] = []
    with pytest.raises(errors.CursorExpired):
        async for change in state.watch(since=cursor):
            found.append(change)
    return found


async def test_promoted_in_the_middle(doomed: Database, standby: Standby, way: Proxy) -> None:
    load = Load()
    async with (
        pgstate.connect(way.dsn, timeout=GUARD) as writer,
        pgstate.connect(way.dsn, timeout=GUARD) as other,
        asyncio.timeout(2 * GUARD),
        asyncio.TaskGroup() as group,
    ):
        start = await writer.cursor()
        following = [group.create_task(_follow(state, start)) for state in (writer, other)]
        worked: list[int] = []
        stop = asyncio.Event()
        working = group.create_task(other.work("tasks/*", lambda task: worked.append(task.value), stop=stop))
        adding = [group.create_task(load.run(state)) for state in (writer, writer, other, other)]
        await load.passed(100)
        middle = await other.cursor()
        await _fail_over(doomed.cluster, standby, way, writer, other)
        await load.passed(100)
        # who works has outlasted it
        await writer.put("tasks/1", 1)
        while await writer.get("tasks/1") is not None:
            await asyncio.sleep(0.005)
        stop.set()
        assert (await working, worked) == (1, [1])
        load.stopping = True
        await asyncio.wait(adding)
        new = Database(standby, doomed.name)
        log = await log_of(new)
        # every increment was acknowledged once, and is there once: the one that was under way, too
        assert sorted(load.acknowledged) == list(range(1, len(load.acknowledged) + 1))
        assert [int(row.value) for row in log if row.key == "sum"] == sorted(load.acknowledged)
        # tokens go on above any that a standby may not have heard of: they count from the seconds since 2025, in millionths
        ((token,),) = new.sql("select last_value from pgstate.claim_token_seq")
        assert token > 10**12
        # what watches were told before they ended is what happened, from its beginning
        for followed in following:
            received = await followed
            assert len(received) > 0
            assert ids(received) == [row.id for row in log][: len(received)]
        for cursor in (start, middle, received[0].cursor, received[-1].cursor):
            await _refused(other, cursor)
        # as they are told to: list again, and go on from there
        page = await other.list()
        assert [(entry.key, entry.value) for entry in page] == [("sum", len(load.acknowledged))]
        async with other.watch(since=page.cursor) as watch:
            await writer.put("k", 1)
            assert ids(await take(watch, 1)) == [("k", 1)]
        check(await drain(other, page.cursor), await log_of(new), lambda key: key == "k")


async def test_runs_that_wait_go_on(doomed: Database, standby: Standby, way: Proxy) -> None:
    async def waits(run: pgstate.Run, input: object) -> object:
        return await run.wait_signal("go")

    stop = asyncio.Event()
    async with (
        pgstate.connect(way.dsn, timeout=GUARD) as state,
        pgstate.connect(way.dsn, timeout=GUARD) as other,
        asyncio.timeout(2 * GUARD),
        asyncio.TaskGroup() as group,
    ):
        working = group.create_task(other.runs.worker({"waits": waits}, stop=stop, signals=()))
        for key in ("r/before", "r/after"):
            await state.runs.start(key, "waits")
        told = [group.create_task(state.runs.result(key, wait=GUARD)) for key in ("r/before", "r/after")]
        await state.runs.signal("r/before", "go", 1)
        assert await told[0] == 1
        # which has set it down
        while (entry := await state.get("r/after")) is None or entry.value["status"] != "asleep":
            await asyncio.sleep(0.005)
        await _fail_over(doomed.cluster, standby, way)
        await state.runs.signal("r/after", "go", 2)
        assert await told[1] == 2
        stop.set()
        assert await working == 2


async def _refused(state: State, cursor: str) -> None:
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: state.changes(cursor),
        lambda: anext(state.watch(since=cursor)),
        lambda: state.get("sum", as_of=cursor),
        lambda: state.list(as_of=cursor),
        lambda: state.rollback("sum", cursor),
    ]
    for call in calls:
        with pytest.raises(errors.CursorExpired):
            await call()


async def test_what_never_arrived_is_not_taken_for_seen(doomed: Database, standby: Standby, way: Proxy) -> None:
    """Transaction ids that the old primary used after the standby stopped to follow are handed out again: a cursor that
    has seen the first of them must not skip the second."""
    doomed.cluster.sql("alter system set synchronous_standby_names = ''")
    doomed.cluster.sql("select pg_reload_conf()")
    async with pgstate.connect(way.dsn, timeout=GUARD) as state, state.watch("k") as watch:
        await state.put("k", "arrives")
        (arrived,) = await take(watch, 1)
        await asyncio.to_thread(_caught_up, doomed.cluster)
        await asyncio.to_thread(standby.stop_following)
        for number in range(20):
            await state.put("k", f"lost {number}")
        lost = (await take(watch, 20))[-1]
        following = asyncio.ensure_future(anext(watch))
        await _fail_over(doomed.cluster, standby, way)
        versions = [await state.put("k", f"new {number}") for number in range(40)]
        assert versions == list(range(2, 42))
        async with asyncio.timeout(GUARD):
            with pytest.raises(errors.CursorExpired):
                await following
        for cursor in (arrived.cursor, lost.cursor):
            await _refused(state, cursor)
        page = await state.list()
        assert [entry.value for entry in page] == ["new 39"]


def _caught_up(primary: Cluster) -> None:
    ((behind,),) = primary.sql("select pg_current_wal_insert_lsn()")
    reached = f"select count(*) from pg_stat_replication where replay_lsn >= '{behind}'"
    while primary.sql(reached) == [(0,)]:
        pass


@pytest.mark.thorough
async def test_a_hot_standby_serves_reads_and_no_feed(doomed: Database, standby: Standby, way: Proxy) -> None:
    async with pgstate.connect(way.dsn, timeout=GUARD) as state:
        await state.put("k", 1)
        cursor = (await state.list()).cursor
        await asyncio.to_thread(_caught_up, doomed.cluster)
        async with pgstate.connect(standby.dsn(doomed.name, INSTALLER), timeout=GUARD) as reader:
            assert (await reader.get("k")).value == 1  # type: ignore[union-attr]
            assert [version.value for version in await reader.history("k")] == [1]
            page = await reader.list()
            assert [entry.key for entry in page] == ["k"] and page.cursor == ""
            assert [entry.key for entry in await reader.list(claimed=False)] == ["k"]
            with pytest.raises(errors.CursorInvalid):
                await anext(state.watch(since=page.cursor))
            calls: list[Callable[[], Awaitable[object]]] = [
                reader.cursor,
                lambda: reader.changes(cursor),
                lambda: anext(reader.watch()),
                lambda: anext(reader.watch(since=cursor)),
                lambda: anext(reader.watch(since=page.cursor)),
                lambda: anext(reader.watch(initial=True)),
                lambda: reader.get("k", as_of=cursor),
            ]
            for call in calls:
                async with asyncio.timeout(GUARD):
                    with pytest.raises(errors.FeedUnavailable):
                        await call()
            # and says so where somebody writes
            for write in (reader.put("k", 2), reader.claim("k"), reader.claim_next("*")):
                with pytest.raises(errors.DatabaseError, match="read-only"):
                    await write


def test_a_standby_is_read_only_to_sql_too(doomed: Database, standby: Standby) -> None:
    """With the code that every client takes for that, whatever the statement looks at first."""
    there = Database(standby, doomed.name)
    for call in ("pgstate.put('k', '1')", "pgstate.merge('k', '1', 'add')", "pgstate.claim('k', '1 s')"):
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            there.sql(f"select {call}", INSTALLER)
