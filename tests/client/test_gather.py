"""Gathered calls: order per key, callers that harm nobody else, back-pressure, and an end that finishes the work."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import asyncpg
import pytest

from client._history import written
from client._locks import Locks
from client.conftest import Connect, MakeLogin
from conftest import Database
from pgstate import State, _gather, errors, ops
from pgstate._calls import values

OpenConnection = Callable[..., Awaitable[asyncpg.Connection]]


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str | None, list[str]]]:
    """The acting agent and the keys of every write statement."""
    seen: list[tuple[str | None, list[str]]] = []

    def spy_on(name: str, keys_of: Callable[[Any], list[str]]) -> None:
        real = getattr(values, name)

        async def spy(
            connection: Any, what: Any, lane: Any, turn: int, lock_timeout: Any, agent: str | None, *, timeout: float
        ) -> Any:
            seen.append((agent, keys_of(what)))
            return await real(connection, what, lane, turn, lock_timeout, agent, timeout=timeout)

        monkeypatch.setattr(values, name, spy)

    spy_on("write_one", lambda row: [row[1]])
    spy_on("write_and_wake", lambda row: [row[1]])
    spy_on("write_many", lambda columns: list(columns[1]))
    return seen


@pytest.mark.parametrize("batch", [1, 3, 256])
async def test_order_per_key_of_calls_that_nobody_awaited(
    state: State, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(_gather, "MAX_BATCH", batch)
    chance = random.Random(batch)
    made: list[asyncio.Task[Any]] = []
    expected: dict[str, list[int]] = {f"k{n}": [] for n in range(4)}
    for number in range(150):
        key = chance.choice(list(expected))
        expected[key].append(number)
        made.append(asyncio.create_task(state.put(key, number)))
        made.append(asyncio.create_task(state.merge("all", [number], "append")))
        if chance.random() < 0.3:
            await made[chance.randrange(len(made))]
    versions = await asyncio.gather(*made)
    assert {key: await written(state, key) for key in expected} == expected
    assert (await state.get("all")).value == list(range(150))  # type: ignore[union-attr]
    assert versions[1::2] == list(range(1, 151))
    assert state.stats.largest_batch <= batch


async def test_what_comes_together_goes_together(state: State, statements: list[Any]) -> None:
    await state.put("alone", 1)
    assert [len(keys) for _, keys in statements] == [1]
    # the first of them finds nobody to share with
    await asyncio.gather(*(state.put(f"k{n}", n) for n in range(25)))
    assert sorted(len(keys) for _, keys in statements) == [1, 1, 24]
    before = state.stats.statements
    entries = await state.get_many([f"k{n % 12}" for n in range(25)])
    assert [entry and entry.value for entry in entries] == [n % 12 for n in range(25)]
    assert state.stats.statements == before + 2


async def test_a_bad_row_harms_no_neighbour(agent: Connect, state: State) -> None:
    alice = await agent("alice", "read a/**", "write a/**", "write w/**")
    await state.put_many({"a/list": [], "a/old": 1, "a/held": 1, "a/text": "x"})
    assert await state.claim("a/held")
    await alice.put("a/again", 1, op_id="used")
    bad: list[tuple[type[Exception], Awaitable[Any]]] = [
        (errors.AccessDenied, alice.put("b/x", 1)),
        (errors.AccessDenied, alice.put("w/x", 1, expect=0)),
        (errors.InvalidKey, alice.put("a//x", 1)),
        (errors.InvalidValue, alice.put("a/nan", float("nan"))),
        (errors.ValueTooLarge, alice.put("a/big", "x" * 1_100_000)),
        (errors.UnknownReducer, alice.merge("a/list", 1, "nonsense")),
        (errors.ReducerMismatch, alice.merge("a/list", 1, "add")),
        (errors.VersionConflict, alice.put("a/old", 2, expect=7)),
        (errors.VersionConflict, alice.put("a/old", 2, expect_value=2)),
        (errors.StaleToken, alice.put("a/old", 2, token=123)),
        (errors.ClaimHeld, alice.put("a/held", 2)),
        (errors.OpIdReused, alice.put("a/again", 2, op_id="used")),
        (errors.InvalidArgument, alice.put("a/x", 1, ttl=-1)),
        (errors.InvalidArgument, alice.put("a/x", 1, expect=-1)),
        # what PostgreSQL or the driver refuse with the whole statement
        (errors.InvalidArgument, alice.put("a/x", 1, op_id="x" * 257)),
        (errors.StaleToken, alice.complete("a/old", 123)),
    ]
    good = [alice.put(f"a/good{n}", n) for n in range(len(bad))]
    both = [call for pair in zip(good, (call for _, call in bad), strict=True) for call in pair]
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert outcomes[::2] == [1] * len(good)
    assert [type(outcome) for outcome in outcomes[1::2]] == [kind for kind, _ in bad]
    for outcome, (kind, _) in zip(outcomes[1::2], bad, strict=True):
        assert kind.sqlstate is None or outcome.sqlstate == kind.sqlstate  # type: ignore[attr-defined, union-attr]
        assert str(outcome)
    assert len(await alice.list("a/good*")) == len(bad)
    reads = await asyncio.gather(
        *(alice.get(key) for key in ("a/old", "b/x", "a/text", "a/none")), return_exceptions=True
    )
    assert [type(read).__name__ for read in reads] == ["Entry", "AccessDenied", "Entry", "NoneType"]


@pytest.mark.parametrize("argument", [{"token": 1 << 70}, {"priority": "high"}, {"not_before": "soon"}])
async def test_what_the_driver_cannot_send_is_an_invalid_argument(state: State, argument: dict[str, Any]) -> None:
    fine = [asyncio.create_task(state.put(f"k{n}", 1)) for n in range(3)]
    with pytest.raises(errors.InvalidArgument):
        await state.put("k", 1, **argument)
    assert await asyncio.gather(*fine) == [1, 1, 1]


@pytest.mark.parametrize("when", ["in flight", "queued", "parked"])
async def test_a_cancelled_caller_leaves_the_others_sound(
    state: State, locks: Locks, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    # statements that wait in their lanes
    monkeypatch.setattr(_gather, "LOCK_TIMEOUT", None)
    await state.put_many({"locked/1": 0, "locked/2": 0})
    # after a statement with one operation, the next one alone goes at once
    await state.put("alone", 0)
    async with locks.on("locked/1", "locked/2"):
        # a statement waits in every lane, the first with two neighbours on board
        first = asyncio.create_task(state.put("first", 1))
        flying = [asyncio.create_task(state.put(key, 1)) for key in ("locked/1", "free/1", "free/2")]
        await first
        await locks.waited_for(1)
        other = asyncio.create_task(state.put("locked/2", 1))
        await locks.waited_for(2)
        queued = [asyncio.create_task(state.put(f"queued/{n}", 1)) for n in range(3)]
        parked = [asyncio.create_task(state.merge("free/1", n, "replace")) for n in range(2, 6)]
        await asyncio.sleep(0)
        victim, sound = {
            "in flight": (flying[1], [flying[0], flying[2], *queued, *parked]),
            "queued": (queued[1], [*flying, queued[0], queued[2], *parked]),
            "parked": (parked[1], [*flying, *queued, parked[0], *parked[2:]]),
        }[when]
        victim.cancel()
        with pytest.raises(asyncio.CancelledError):
            await victim
        assert not any(task.done() for task in sound)
    await asyncio.gather(other, *sound)
    assert await written(state, "locked/1") == [0, 1]
    assert await written(state, "free/2") == [1]
    # its place in the order is empty or taken, and the others' are as they were
    assert [value for value in await written(state, "free/1") if value != 3] == [1, 2, 4, 5]
    assert len(await state.list("queued/*")) == (2 if when == "queued" else 3)
    assert await state.put("free/1", 9) == len(await written(state, "free/1"))


async def test_a_full_queue_holds_callers_back_in_order(
    state: State, locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_gather, "MAX_QUEUE", 4)
    await state.put("k", 0)
    async with locks.on("k"):
        calls = [asyncio.create_task(state.put("k", n)) for n in range(1, 40)]
        await locks.waited_for()
        with pytest.raises(errors.Timeout, match="queue"):
            await state.with_timeout(0.05).put("k", "late")
        # one that was waiting for room leaves a place that nobody misses
        calls[20].cancel()
        # other agents and reads have queues of their own
        assert (await state.get("k")).value == 0  # type: ignore[union-attr]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, BaseException)] == [20]
    assert await written(state, "k") == [n for n in range(40) if n != 21]
    assert state.stats.largest_batch <= 4


async def test_callers_that_come_while_others_get_room_come_after_them(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_gather, "MAX_QUEUE", 1)
    patient = state.with_timeout(120)
    calls: list[asyncio.Task[int]] = []
    admit = _gather.Gatherer._admit

    def come() -> None:
        calls.append(asyncio.create_task(patient.put("k", len(calls))))

    def come_and_admit(queue: _gather.Gatherer) -> None:
        # in the very turn of the loop in which the place is given and not yet taken
        if len(queue._room) == 1 and queue._waiting + queue._given == 0 and len(calls) < 40:
            come()
        admit(queue)

    monkeypatch.setattr(_gather.Gatherer, "_admit", come_and_admit)
    for _ in range(3):
        come()
    for number in range(40):
        assert await calls[number] == number + 1
    assert await written(state, "k") == list(range(40))


async def test_room_is_given_when_all_that_was_queued_has_left(
    state: State, locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_gather, "MAX_QUEUE", 4)
    await state.put_many({"a": 0, "b": 0})
    async with locks.on("a", "b"):
        stuck = [asyncio.create_task(state.put("a", 1))]
        await locks.waited_for(1)
        stuck.append(asyncio.create_task(state.put("b", 1)))
        await locks.waited_for(2)
        queued = [asyncio.create_task(state.put(f"q{n}", 1)) for n in range(2)]
        await asyncio.sleep(0)
        waiting = asyncio.create_task(state.with_timeout(60).put("c", 1))
        await asyncio.sleep(0)
        for task in queued:
            task.cancel()
        await asyncio.wait(queued)
    await asyncio.gather(*stuck)
    async with asyncio.timeout(20):
        assert await waiting == 1


async def test_two_agents_never_share_a_statement(
    gateway: Connect, make_agent: MakeLogin, statements: list[tuple[str | None, list[str]]]
) -> None:
    for name in ("alice", "bob"):
        await make_agent(name, f"read {name}/**", f"write {name}/**")
    shared = await gateway("alice", "bob")
    alice, bob = shared.as_agent("alice"), shared.as_agent("bob")
    calls = [view.put(f"{name}/{n}", n) for n in range(40) for view, name in ((alice, "alice"), (bob, "bob"))]
    crossed = [
        alice.put("bob/0", "alice was here"),
        bob.put("alice/0", "bob was here"),
        alice.get("bob/0"),
        bob.get("alice/0"),
    ]
    outcomes = await asyncio.gather(*calls, *crossed, return_exceptions=True)
    assert outcomes[:80] == [1] * 80
    assert [type(outcome) for outcome in outcomes[80:]] == [errors.AccessDenied] * 4
    assert {agent for agent, _ in statements} == {"alice", "bob"}
    for agent, keys in statements:
        assert {key.split("/")[0] for key in keys if key not in ("bob/0", "alice/0")} <= {agent}
    entries = [*await alice.list(), *await bob.list()]
    written_by = Counter((entry.key.split("/")[0], entry.writer) for entry in entries)
    assert written_by == {("alice", "alice"): 40, ("bob", "bob"): 40}


async def test_a_locked_row_is_a_timeout_and_then_all_is_well(state: State, locks: Locks) -> None:
    await state.put("k", 0)
    hasty = state.with_timeout(0.1)
    async with locks.on("k"):
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: hasty.put("k", 1),
            lambda: hasty.delete("k"),
            lambda: hasty.claim("k"),
            lambda: hasty.apply(operations=[ops.put("k", 1)]),
        ]
        for call in calls:
            # on a connection that is there: to open one may take longer than that
            await locks.left_alone()
            assert await state.get("k") is not None
            with pytest.raises(errors.Timeout):
                await call()
        patient = asyncio.create_task(state.put("other", 1))
        assert await patient == 1
        # a write whose cancellation comes after the lock is gone has happened
        await locks.left_alone()
    assert (await state.get("k")).value == 0  # type: ignore[union-attr]
    assert await state.put("k", 2) == 2
    assert await written(state, "k") == [0, 2]
    assert await state.claim("k")


async def test_one_callers_short_patience_is_not_its_neighbours(state: State, locks: Locks) -> None:
    await state.put("k", 0)
    async with locks.on("k"):
        first = asyncio.create_task(state.put("first", 1))
        hasty = asyncio.create_task(state.with_timeout(0.1).put("k", 1))
        patient = asyncio.create_task(state.put("neighbour", 1))
        await first
        with pytest.raises(errors.Timeout):
            await hasty
        assert await patient == 1


async def test_many_at_once_leave_together_and_wait_for_room_apart(
    state: State, locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_gather, "MAX_QUEUE", 6)
    await state.put("k", 0)
    async with locks.on("k"):
        stuck = asyncio.create_task(state.put("k", 1))
        await locks.waited_for(1)
        # two of the six places are free for more than will go in at once, behind the first
        gone = asyncio.create_task(state.put_many([("k", 2), ("gone/1", 1), ("gone/2", 1)]))
        late = asyncio.create_task(state.with_timeout(0.3).put_many([("k", "late"), ("free/0", 1)]))
        many = asyncio.create_task(state.put_many([("k", n) for n in range(3, 20)]))
        with pytest.raises(errors.Timeout):
            await late
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert not stuck.done() and not many.done()
    await stuck
    assert {one.status for one in await many} == {"ok"}
    assert [value for value in await written(state, "k") if value not in (2, "late")] == [0, 1, *range(3, 20)]


async def test_of_many_whose_caller_has_left_none_is_sent(state: State, locks: Locks) -> None:
    await state.put("k", 0)
    async with locks.on("k"):
        stuck = asyncio.create_task(state.put("k", 1))
        await locks.waited_for(1)
        gone = asyncio.create_task(state.put_many([("k", 2), ("k", 3), ("k", 4)]))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
    await stuck
    assert await state.put("k", 5) == 3
    assert await written(state, "k") == [0, 1, 5]


async def test_a_locked_key_holds_up_its_own_writes_alone(state: State, locks: Locks, connect: Connect) -> None:
    # more of them than the client has connections: one alone, the others in statements shared with free keys
    keys = [f"locked/{n}" for n in range(12)]
    await state.put_many([(key, 0) for key in keys])
    client = await connect(connections=5)
    async with locks.on(*keys):
        waiting = [asyncio.create_task(client.put(keys[0], 1))]
        await locks.waited_for(1)
        waiting += [asyncio.create_task(client.put(key, 1)) for key in keys]
        assert await asyncio.gather(*(client.put(f"free/{n}", 1) for n in range(60))) == [1] * 60
        assert (await client.get("free/0")).value == 1  # type: ignore[union-attr]
        assert len(await client.list("free/*")) == 60
        await locks.waited_for(1)
        # order per key: these come after those that wait
        waiting += [asyncio.create_task(client.merge(key, 1, "add")) for key in keys]
        assert await client.put("free/0", 2) == 2
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    assert await written(state, keys[0]) == [0, 1, 1, 2]
    assert [await written(state, key) for key in keys[1:]] == [[0, 1, 2]] * 11


@pytest.mark.parametrize("company", [False, True])
async def test_patience_and_cancellation_reach_what_waits_apart(
    state: State, locks: Locks, monkeypatch: pytest.MonkeyPatch, company: bool
) -> None:
    monkeypatch.setattr(_gather, "LOCK_TIMEOUT", "1ms")
    await state.put("k", 0)
    async with locks.on("k"):
        # to open connections may take longer than that patience: by then they are there
        for leave in ("cancel", "timeout"):
            await locks.left_alone()
            if company:
                state._core.writer(None)._alone = False
            caller = state.with_timeout(0.3 if leave == "timeout" else 30)
            gone = asyncio.create_task(caller.put("k", leave))
            assert await state.put("free", leave)
            if leave == "cancel":
                await locks.waited_for(1)
                gone.cancel()
            with pytest.raises((errors.Timeout, asyncio.CancelledError)):
                await gone
        after = asyncio.create_task(state.merge("k", 1, "append"))
    with pytest.raises(errors.ReducerMismatch):
        await after
    assert (await state.put("k", 1)) == (await state.get("k")).version  # type: ignore[union-attr]


async def test_an_error_of_the_database_is_told_at_once(
    state: State, connect: Connect, database: Database, locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    # soon on its own
    monkeypatch.setattr(_gather, "LOCK_TIMEOUT", "1ms")
    await state.put("k", 0)
    cancel = """select pg_cancel_backend(pid) from pg_locks join pg_stat_activity using (pid)
                 where not granted and datname = current_database()"""
    limited = await connect()
    async with locks.on("k"):
        for beside in ("free", None):
            refused = asyncio.create_task(limited.put("k", 1))
            await locks.waited_for(1)
            if beside:
                assert await limited.put(beside, 1) == 1
            async with asyncio.timeout(20):
                while not refused.done():
                    await locks.looker.execute(cancel)
                    await asyncio.wait([refused], timeout=0.005)
            with pytest.raises(errors.DatabaseError, match="canceling statement") as caught:
                await refused
            assert caught.value.code == "57014"
    database.sql(f'alter database "{database.name}" set default_transaction_read_only = on')
    reading = await connect()
    assert (await reading.get("k")).value == 0  # type: ignore[union-attr]
    with pytest.raises(errors.DatabaseError, match="read-only") as caught:
        await reading.put("k", 1)
    assert caught.value.code == "25006"


async def test_update_applies_every_change(state: State) -> None:
    # with the default number of attempts
    await asyncio.gather(*(state.update("counter", lambda value: (value or 0) + 1) for _ in range(20)))
    assert await written(state, "counter") == list(range(1, 21))

    async def slow(value: int) -> int:
        await state.put("counter", value + 100)
        return value + 1

    with pytest.raises(errors.VersionConflict, match="2 attempts") as caught:
        await state.update("counter", slow, attempts=2)
    assert (caught.value.key, caught.value.version) == ("counter", 22)
    assert caught.value.current is not None and caught.value.current.value == 220
    with pytest.raises(errors.InvalidArgument):
        await state.update("counter", slow, attempts=0)

    async def within(value: int) -> int:
        await state.with_timeout(0.05).update("counter", lambda inner: inner + 1)
        return value

    with pytest.raises(errors.Timeout, match="another update"):
        await state.update("counter", within)


async def test_times_without_a_zone_are_refused_or_meant(state: State) -> None:
    """A naive datetime is local time to Python and to the driver alike."""
    soon = datetime(2031, 5, 6, 7, 8, 9)
    await state.put("k", 1, not_before=soon)
    entry = await state.get("k")
    assert entry is not None and entry.not_before == soon.astimezone()
