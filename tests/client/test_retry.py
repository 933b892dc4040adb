"""Statements that are sent again: after a lost reply, a lost connection, a deadlock, each applied once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from _cases import first_of
from _server import SUPERUSER
from client._locks import Locks
from client._proxy import Proxy
from client.conftest import Connect
from conftest import Database
from pgstate import State, _gather, errors, ops
from pgstate._calls._run import ConnectionLost, LockBusy, ReadOnly, transaction
from pgstate.types import Claim

OpenConnection = Callable[..., Awaitable[asyncpg.Connection]]


@pytest.fixture
async def far(connect: Connect, proxy: Proxy) -> State:
    """A client at the other end of a network, whose statements are prepared on each of its connections."""
    far = await connect(dsn=proxy.dsn, connections=1)
    await far.put("warm", 1)
    await far.apply(operations=[ops.put("warm", 2)])
    await far.complete("warm", (await far.claim("warm")).token)  # type: ignore[union-attr]
    await far.claim_next("warm*")
    return far


LOSSES = ["lose_request", "lose_reply"]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("neighbours", [0, 30])
async def test_a_write_happens_once(far: State, state: State, proxy: Proxy, loss: str, neighbours: int) -> None:
    await state.put("counter", 0)
    lost = getattr(proxy, loss)(b"counter")
    calls = [far.put("first", 1)]
    calls += [far.merge("counter", 1, "add"), *(far.merge(f"k{n % 7}", [n], "append") for n in range(neighbours))]
    calls += [far.merge("counter", 1, "add"), far.delete("first")]  # type: ignore[list-item]
    outcomes = await asyncio.gather(*calls)
    assert lost.is_set()
    assert far.stats.retries >= 1
    assert (outcomes[1], outcomes[-2]) == (2, 3)
    assert [version.value for version in await state.history("counter")] == [2, 1, 0]
    assert [version.op for version in await state.history("first")] == ["delete", "put"]
    everything = [number for entry in await state.list("k*") for number in entry.value]
    assert sorted(everything) == list(range(neighbours))


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_refusal_is_told_once_more(far: State, state: State, proxy: Proxy, loss: str) -> None:
    await state.put("k", "here")
    lost = getattr(proxy, loss)(b"kk")
    result = await far.put_many([("k", 1), ("kk", 2)])
    assert [(row.status, row.version) for row in result] == [("ok", 2), ("ok", 1)]
    assert lost.is_set()
    lost = getattr(proxy, loss)(b"kkk")
    conflicts = await asyncio.gather(
        far.put("k", 3, expect=1), far.put("kkk", 3, expect=2), far.merge("kkk", 1, "add"), return_exceptions=True
    )
    assert lost.is_set()
    assert [getattr(conflict, "version", conflict) for conflict in conflicts] == [2, 0, 1]


@pytest.mark.parametrize("loss", LOSSES)
async def test_apply_happens_once(far: State, state: State, proxy: Proxy, loss: str) -> None:
    await state.put_many({"task": 1, "sum": 0})
    claim = await far.claim("task")
    assert claim is not None
    lost = getattr(proxy, loss)(b"the-result")
    done = await far.apply(
        guards=[ops.token("task", claim.token)],
        operations=[ops.merge("sum", 5, "add"), ops.put("the-result", 1), ops.complete("task", claim.token)],
    )
    assert lost.is_set()
    assert [(row.key, row.status, row.version) for row in done] == [
        ("task", "ok", 1), ("sum", "ok", 2), ("the-result", "ok", 1), ("task", "ok", 2),
    ]  # fmt: skip
    assert (await state.get("sum")).value == 5  # type: ignore[union-attr]


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_claim_is_not_lost_with_its_reply(far: State, state: State, proxy: Proxy, loss: str) -> None:
    await state.put_many({"jobs/one": {"n": 1}, "jobs/two": 2, "other": 3})
    lost = getattr(proxy, loss)(b"jobs/*")
    claims: list[Claim | None] = [await far.claim_next("jobs/*")]
    assert lost.is_set()
    claims.append(await far.claim_next("jobs/*"))
    lost = getattr(proxy, loss)(b"other")
    claims.append(await far.claim("other"))
    assert lost.is_set()
    assert [(c.key, c.value, c.attempts) for c in claims if c] == [
        ("jobs/one", {"n": 1}, 1), ("jobs/two", 2, 1), ("other", 3, 1),
    ]  # fmt: skip
    for claim in claims:
        assert claim is not None
        lost = getattr(proxy, loss)(claim.key.encode())
        assert await far.complete(claim.key, claim.token) == 2
        assert lost.is_set()
    assert len(await state.list()) == 0


async def test_reads_go_on_too(far: State, state: State, proxy: Proxy) -> None:
    await state.put_many({f"k{n}": n for n in range(5)})
    for loss in LOSSES:
        for call in (far.get("k1"), far.get_many(["k1", "k2"]), far.list("k1*"), far.history("k1")):
            lost = getattr(proxy, loss)(b"k1")
            assert await call
            assert lost.is_set()


async def test_connections_lost_while_nothing_was_under_way(state: State, database: Database) -> None:
    async def use(number: int) -> list[Any]:
        return await asyncio.gather(
            state.merge("n", number, "replace"), state.get("other"), state.list(), state.cursor(), state.claim_next("x"),
            *(state.put(f"k{n}", number) for n in range(30)),
        )  # fmt: skip

    for number in range(1, 4):
        await use(number)
        # killed, and the client may or may not have heard of it
        database.sql(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
    assert (await use(4))[0] == 4
    assert [version.value for version in await state.history("k29")] == [4, 3, 2, 1]


@pytest.mark.parametrize("form", first_of(["pool", "engine"]))
async def test_a_lost_connection_of_the_applications(connect: Connect, form: str, database: Database, dsn: str) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    pool = engine = None
    if form == "pool":
        pool = await asyncpg.create_pool(dsn, min_size=1, max_size=3)
        state = await connect(pool=pool)
    else:
        address = dsn.replace("postgresql://", "postgresql+asyncpg://")
        engine = create_async_engine(address, pool_size=3, max_overflow=0)
        state = await connect(engine=engine)
    for number in range(3):
        assert await state.put("k", number) == number + 1
        await asyncio.gather(*(state.get(f"k{n}") for n in range(40)), state.list())
        database.sql(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
    assert len(await state.history("k")) == 3
    await state.close()
    if pool is not None:
        assert await pool.fetchval("select pgstate.me()") == "admin"
        await pool.close()
    if engine is not None:
        await engine.dispose()


async def test_a_lock_given_up_after_a_lost_reply_proves_nothing(state: State) -> None:
    """The lane may be what was locked, by the first attempt: only the same lane and turn tell."""
    told: list[Exception] = [ConnectionLost("lost"), LockBusy("the lane", "55P03"), LockBusy("the lane", "55P03")]

    async def attempt(left: float) -> str:
        if told:
            raise told.pop(0)
        return "the first attempt's outcome"

    deadline = asyncio.get_running_loop().time() + 20
    assert await _gather.persist(attempt, deadline, state.stats) == "the first attempt's outcome"

    async def never(left: float) -> str:
        raise told.pop(0) if told else LockBusy("the lane", "55P03")

    # also at the end of all patience: taken for a key's lock, it would be sent on another lane
    told.append(ConnectionLost("lost"))
    with pytest.raises(errors.Timeout):
        await _gather.persist(never, asyncio.get_running_loop().time() + 0.2, state.stats)
    told.append(LockBusy("a key", "55P03"))
    with pytest.raises(LockBusy):
        await _gather.persist(attempt, deadline, state.stats)


async def test_a_standbys_refusal_after_a_lost_reply_proves_nothing(state: State) -> None:
    """It may have what the first attempt did, and be promoted at any moment."""
    told: list[Exception] = [ConnectionLost("lost"), ReadOnly("read-only", "25006"), errors.Unreachable("promoting")]

    async def attempt(left: float) -> str:
        if told:
            raise told.pop(0)
        return "the first attempt's outcome"

    deadline = asyncio.get_running_loop().time() + 20
    assert await _gather.persist(attempt, deadline, state.stats) == "the first attempt's outcome"

    async def never(left: float) -> str:
        raise told.pop(0) if told else ReadOnly("read-only", "25006")

    told.append(ConnectionLost("lost"))
    with pytest.raises(errors.Timeout):
        await _gather.persist(never, asyncio.get_running_loop().time() + 0.2, state.stats)
    # of a call that was sent nowhere else it is the truth
    with pytest.raises(ReadOnly):
        await _gather.persist(never, deadline, state.stats)


async def test_a_deadlocks_victim_is_run_again(
    database: Database, connect: Connect, connect_as: OpenConnection, locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    # with less patience it would not find out
    monkeypatch.setattr(_gather, "LOCK_TIMEOUT", None)
    # whoever begins to wait looks for a deadlock once, after this time
    database.sql(f"alter database \"{database.name}\" set deadlock_timeout = '10ms'")
    await locks.holder.execute("set deadlock_timeout = '10min'")
    state, between = await connect(), Locks(await connect_as(SUPERUSER), locks.looker)
    await state.put_many({"a": 0, "b": 0, "c": 0})
    await state.put("alone", 0)  # then the next one alone goes at once
    async with locks.on("c"):
        async with between.on("b"):
            first = asyncio.create_task(state.put("first", 1))
            together = [asyncio.create_task(state.merge(key, 1, "add")) for key in ("a", "b", "c", "a")]
            await first
            await locks.waited_for(1)
            crossing = asyncio.create_task(locks.lock("a"))
            await locks.waited_for(2)
        # now the client waits for c, whose holder waits for its a
        await crossing
    assert await asyncio.gather(*together) == [2, 2, 2, 3]
    assert state.stats.retries >= 1
    assert [(entry.key, entry.value) for entry in await state.list("?")] == [("a", 2), ("b", 1), ("c", 1)]


async def test_a_serialization_failure_is_run_again(database: Database, connect: Connect, locks: Locks) -> None:
    database.sql(f"alter database \"{database.name}\" set default_transaction_isolation = 'repeatable read'")
    state = await connect()
    await state.put("k", 0)
    async with locks.on("k"):
        waiting = asyncio.create_task(state.merge("k", 1, "add"))
        await locks.waited_for(1)
        await locks.holder.execute("update pgstate.entry set writer = 'somebody' where key = 'k'")
    assert await waiting == 2
    assert state.stats.retries >= 1
    await asyncio.gather(
        *(state.merge("k", 1, "add") for _ in range(50)), *(state.merge("n", 1, "add") for _ in range(50))
    )
    assert (await state.get("k")).value == 51  # type: ignore[union-attr]


async def test_an_op_id_happens_once_whoever_asks(state: State, far: State, proxy: Proxy) -> None:
    lost = proxy.lose_reply(b"unique")
    assert await far.merge("n", 1, "add", op_id="unique") == 1
    assert lost.is_set()
    assert await asyncio.gather(*(state.merge("n", 1, "add", op_id="unique") for _ in range(5))) == [1] * 5
    assert await far.merge("n", 1, "add", op_id="another") == 2


async def test_the_server_away_for_a_while(connect: Connect, new_cluster: Callable[..., Any]) -> None:
    from conftest import clone, prepare

    cluster = new_cluster()
    await asyncio.to_thread(prepare, cluster)
    state = await connect(dsn=clone(cluster).dsn(), timeout=60)
    await state.put("k", 0)
    for number in range(1, 3):
        await asyncio.to_thread(cluster.stop, "immediate")
        calls = [
            asyncio.create_task(call) for call in (state.put("k", number), state.merge("n", 1, "add"), state.list("k"))
        ]
        async with asyncio.timeout(20):
            while state.stats.retries < 3 * number:
                await asyncio.sleep(0.005)
        await asyncio.to_thread(cluster.start)
        version, total, listed = await asyncio.gather(*calls)
        assert (version, total, len(listed)) == (number + 1, number, 1)  # type: ignore[arg-type]
    await state.close()


async def test_wake_ups_and_the_pulse_are_never_worth_an_error(state: State, connect_as: OpenConnection) -> None:
    superuser = await connect_as(SUPERUSER)
    await superuser.execute("alter function pgstate.wake rename to gone")
    async with state.watch("k") as watch:
        arriving = asyncio.ensure_future(anext(watch))
        await state.put("k", 1)
        assert (await arriving).value == 1
        assert await state.put("k", 2) == 2


async def test_lanes_change_now_and_then(state: State, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a row, which gets long while an old snapshot is held; those that ended leave none."""
    monkeypatch.setattr(_gather, "LANE_TURNS", 3)
    for number in range(30):
        assert await state.put("k", number) == number + 1
        claim = await state.claim("k")
        assert claim is not None and await state.release("k", claim.token)
    await asyncio.gather(*(state.merge("sum", 1, "add") for _ in range(200)))
    assert (await state.get("sum")).value == 200  # type: ignore[union-attr]
    lanes = "select count(*), max(turn) from pgstate.lane"
    async with asyncio.timeout(20):
        while (found := await asyncio.to_thread(database.sql, lanes))[0][0] > 4:
            await asyncio.sleep(0.01)
    assert found[0][1] <= 3


async def test_a_transaction_on_a_connection_that_is_closed_is_a_lost_one(admin: asyncpg.Connection) -> None:
    """As an engine may hand out: the caller takes another."""
    await admin.close()
    with pytest.raises(ConnectionLost):
        async with transaction(admin, 1):
            raise AssertionError("it began")
