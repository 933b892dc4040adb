"""A state bound to a transaction of the caller's: asyncpg, psycopg and SQLAlchemy alike."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import operator
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import asyncpg
import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from _cases import first_of
from client import _bound
from client._bound import App, Open, opened
from client.conftest import Connect, MakeLogin
from conftest import INSTALLER, Database
from pgstate import BoundState, State, errors, ops


@pytest.fixture(params=first_of(_bound.KINDS, 3))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def open_app(database: Database, kind: str) -> AsyncIterator[Open]:
    """`await open_app("login")`: another connection of the same kind."""
    _bound.prepare(database)
    async with AsyncExitStack() as stack:

        async def make(login: str = INSTALLER) -> App:
            return await stack.enter_async_context(opened(kind, database.dsn(login)))

        yield make


@pytest.fixture
async def app(open_app: Open) -> App:
    return await open_app()


@pytest.fixture
def bound(state: State, app: App) -> BoundState:
    return state.bind(app.raw)


@dataclasses.dataclass
class Work:
    steps: Annotated[int, operator.add] = 0
    notes: Annotated[list[str], operator.add] = dataclasses.field(default_factory=list)


class Undo(Exception):
    pass


async def test_both_commit_or_neither(state: State, app: App, bound: BoundState) -> None:
    async with app.transaction():
        await app.order(1)
        assert await bound.put("tasks/1", {"order": 1}) == 1
        assert (await bound.get("tasks/1")).value == {"order": 1}  # type: ignore[union-attr]
        assert await state.get("tasks/1") is None
    assert (await state.get("tasks/1")).value == {"order": 1}  # type: ignore[union-attr]
    with pytest.raises(Undo):
        async with app.transaction():
            assert await bound.put("tasks/1", {"order": 2}) == 2
            await app.order(2)
            raise Undo
    with pytest.raises(Exception, match="orders_pkey"):
        async with app.transaction():
            await bound.put("tasks/1", {"order": 3})
            await app.order(1)
    entry = await state.get("tasks/1")
    assert entry is not None and (entry.value, entry.version) == ({"order": 1}, 1)
    assert await app.orders() == [1]


async def test_the_state_first(state: State, app: App, bound: BoundState) -> None:
    """SQLAlchemy has not begun anything by itself yet."""
    async with app.transaction():
        await bound.put("a", 1)
        await app.order(1)
    with pytest.raises(Undo):
        async with app.transaction():
            await bound.put("a", 2)
            raise Undo
    assert [v.value for v in await state.history("a")] == [1]


async def test_savepoints(state: State, app: App, bound: BoundState) -> None:
    cursor = await state.cursor()
    async with app.transaction():
        await bound.put("kept", 1)
        with pytest.raises(Undo):
            async with app.savepoint():
                await app.order(1)
                await bound.put("kept", 2)
                await bound.merge("gone", 1, "add")
                raise Undo
        assert (await bound.get("kept")).value == 1  # type: ignore[union-attr]
        async with app.savepoint():
            await bound.put("inner", 1)
            await app.order(2)
        await bound.put("kept", 3)
    changes = (await state.changes(cursor)).changes
    assert [(c.key, c.version, c.value) for c in changes] == [("kept", 1, 1), ("inner", 1, 1), ("kept", 2, 3)]
    assert await app.orders() == [2]


async def test_what_is_refused_leaves_the_transaction_as_it_was(
    open_app: Open, state: State, make_agent: MakeLogin
) -> None:
    login = await make_agent("alice", "read a/**", "write a/**", "read ro/**", login=True)
    await state.put_many({"a/x": 1, "a/held": 1, "ro/x": 1})
    await state.claim("a/held")
    app = await open_app(login)
    bound = state.bind(app.raw)
    async with app.transaction():
        await app.order(1)
        with pytest.raises(errors.VersionConflict) as caught:
            await bound.put("a/x", 2, expect=0)
        assert caught.value.current is not None and caught.value.current.value == 1
        with pytest.raises(errors.ClaimHeld):
            await bound.merge("a/held", 1, "add")
        with pytest.raises(errors.StaleToken):
            await bound.put("a/held", 1, token=7)
        with pytest.raises(errors.ReducerMismatch):
            await bound.merge("a/x", "text", "add")
        for denied in ("b", "ro/x"):
            with pytest.raises(errors.AccessDenied, match=f"put {denied}, which takes write"):
                await bound.put(denied, 1)
        with pytest.raises(errors.InvalidKey):
            await bound.put("a//b", 1)
        with pytest.raises(errors.VersionConflict):
            await bound.apply(guards=[ops.absent("a/x")], operations=[ops.put("a/y", 1)])
        results = await bound.put_many([("a/1", 1), ("b", 1), ops.put("a/x", 5, expect=9), ("a//b", 1), ("a/1", 2)])
        assert [(r.status, r.version) for r in results] == [
            ("ok", 1), ("denied", None), ("conflict", 1), ("invalid", None), ("ok", 2),
        ]  # fmt: skip
        found = await bound.get_many(["a/1", "b", "a/none"], return_errors=True)
        assert found[0] is not None and found[0].value == 2  # type: ignore[union-attr]
        assert isinstance(found[1], errors.AccessDenied) and found[2] is None
        with pytest.raises(errors.AccessDenied):
            async with app.savepoint():
                await bound.get("b")
        assert await bound.put("a/x", 2, expect=1) == 2
    assert await app.orders() == [1]
    assert (await state.get("a/x")).value == 2  # type: ignore[union-attr]


@pytest.mark.core
async def test_every_call(app: App, bound: BoundState, state: State) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    async with app.transaction():
        assert await bound.me() == "admin"
        before = await bound.cursor()
        assert await bound.put("t/1", ["ä", None, "x'\"\\"], ttl=60, priority=3, not_before=soon) == 1
        entry = await bound.get("t/1", as_=list[str | None])
        assert entry is not None and entry.value == ["ä", None, "x'\"\\"] and entry.priority == 3
        assert entry.not_before == soon and entry.expires_at is not None and entry.expires_at.utcoffset() == timedelta()
        assert abs(entry.expires_at - entry.updated_at - timedelta(seconds=60)) < timedelta(seconds=1)
        assert await bound.merge("n", 2, "add", return_value=True) == 2
        assert [r.version for r in await bound.merge_many([("n", 1, "add"), ("n", 1, "add")])] == [2, 3]
        assert (await bound.update("n", lambda n: n + 1)).value == 5
        assert await bound.put("n", 7, expect_value=5) == 5
        assert [(e.key, e.value) for e in await bound.list("*")] == [("n", 7)]
        assert [v.value for v in await bound.history("n", limit=2)] == [7, 5]
        assert (await bound.get("n", as_of=1)).value == 2  # type: ignore[union-attr]
        assert await bound.delete("t/1") == 2 and await bound.delete("t/1") is None
        assert await bound.put_many({f"t/{n}": n for n in range(300)}) and len(await bound.list("t/*")) == 300
        task = await bound.claim_next("t/*", 30)
        assert task is not None
        assert (await bound.renew(task.key, task.token, timedelta(minutes=1))).token == task.token
        (held,) = await bound.claims("t/*")
        assert (held.key, held.holder, held.attempts) == (task.key, "admin", 1)
        done = await bound.apply(
            guards=[ops.token(task.key, task.token)], operations=[ops.complete(task.key, task.token), ops.put("x", 1)]
        )
        assert [r.status for r in done] == ["ok", "ok", "ok"]
        one = await bound.claim("t/5")
        assert one is not None and await bound.release("t/5", one.token)
        again = await bound.claim("t/5")
        assert again is not None and await bound.complete("t/5", again.token) == 2
        many = await bound.claim_many("t/*", 2)
        assert await bound.complete(many[0].key, many[0].token, "r", move_to="done") == 4
        assert (await bound.get("done")).value == "r"  # type: ignore[union-attr]
        assert (await bound.fail(many[1].key, many[1].token, "no", 60)).attempts == 1
        (failed,) = await bound.tasks(many[1].key)
        assert (failed.state, failed.error) == ("waiting", "no")
        assert await bound.release(many[1].key, force=True)
        await bound.delete("done")
        assert len(await bound.delete_many([f"t/{n}" for n in range(10, 300)])) == 290
        assert await bound.changes(before) == await bound.changes(before)
        assert (await bound.changes(before)).changes == []
        await bound.create_agent("bob")
        await bound.grant_access("bob", "b/**", "read")
        assert {a.name for a in await bound.agents()} == {"admin", "bob"}
        assert ("bob", "b/**", "read") in {(g.agent, g.subtree, g.right) for g in await bound.grants()}
        await bound.set_policy("p/**", reducer="add", ttl=timedelta(days=1), schema={"type": "integer"})
        assert [p.subtree for p in await bound.policies()] == ["p/**"]
        assert await bound.merge("p/x", 1) == 1
        view = bound.typed(Work, "work")
        await view.update(steps=2, notes=["a"])
        await view.update(steps=1, notes=["b"])
        assert await view.load() == Work(3, ["a", "b"])
        assert await view.modify(lambda w: Work(w.steps + 1, w.notes)) == Work(4, ["a", "b"])  # type: ignore[union-attr]
        home = bound.namespace("home").with_timeout(5)
        assert await home.put("k", 1) == 1 and (await home.list())[0].key == "k"
        assert [r.action for r in await bound.rollback("home/k", before, dry_run=True)] == ["delete"]
        await bound.rollback("home/k", before)
        assert await bound.get("home/k") is None
        assert bound.stats.writes > 300 and bound.stats.conflicts == 0
    page = await state.changes(before, limit=10_000)
    everything = [(c.key, c.version) for c in page.changes]
    assert len(everything) == len(set(everything)) and ("n", 5) in everything and ("home/k", 2) in everything


class Urgency(int, enum.Enum):
    HIGH = 7


async def test_a_number_may_be_one_of_an_enum(app: App, bound: BoundState, state: State) -> None:
    async with app.transaction():
        await bound.put("t/1", 1, priority=Urgency.HIGH)
    assert (await state.get("t/1")).priority == 7  # type: ignore[union-attr]


async def test_what_cannot_work_says_so(app: App, bound: BoundState) -> None:
    for refused in (
        lambda: bound.watch("a"),
        lambda: bound.typed(Work, "work").watch(),
    ):
        with pytest.raises(errors.InTransaction, match="the state that was bound"):
            refused()
    async with app.transaction():
        with pytest.raises(errors.InTransaction):
            await bound.claim_next("a/*", wait=1)
        for renewing in (bound.claim_next("a/*"), bound.lock("a"), bound.semaphore("a", 1), bound.leader("a")):
            with pytest.raises(errors.InTransaction):
                async with renewing:
                    raise AssertionError
        with pytest.raises(errors.InTransaction):
            await bound.work("a/*", print)
        await bound.put("a", 1)


async def test_watchers_hear_of_it_after_the_commit(app: App, bound: BoundState, connect: Connect) -> None:
    other = await connect()
    async with other.watch("a/*") as watch:
        async with app.transaction():
            await bound.put("a/1", 1)
            await bound.put_many([("a/2", 2), ("b", 1)])
            coming = asyncio.ensure_future(anext(watch))
            # more than a poll's time: nothing is to be seen, and nothing was sent
            await app.run("select pg_sleep(1.2)::text")
            assert not coming.done()
        async with asyncio.timeout(20):
            assert [(await coming).key, (await anext(watch)).key] == ["a/1", "a/2"]


@pytest.mark.core
async def test_a_rollback_wakes_nobody(
    app: App, bound: BoundState, state: State, connect_as: Callable[..., Any]
) -> None:
    heard: list[str] = []
    listener: asyncpg.Connection = await connect_as()
    channel = await listener.fetchval("select pgstate.subscribe(array['admin'], array['a/*'])")
    await listener.add_listener(channel, lambda *_: heard.append("!"))
    with pytest.raises(Undo):
        async with app.transaction():
            await bound.put("a/1", 1)
            raise Undo
    async with app.transaction():
        with pytest.raises(Undo):
            async with app.savepoint():
                await bound.put("a/1", 1)
                raise Undo
        await bound.put("b", 1)
    # a round trip: notifications come before its answer
    await listener.fetchval("select 1")
    assert heard == []
    async with app.transaction():
        await bound.put("a/1", 1)
        await bound.put("a/1", 2)
        await listener.fetchval("select 1")
        assert heard == []
    await listener.fetchval("select 1")
    assert heard == ["!"]


@pytest.mark.core
async def test_a_cursor_taken_inside_delivers_once_after_the_commit(
    app: App, bound: BoundState, state: State, open_app: Open
) -> None:
    other = await open_app()
    theirs = state.bind(other.raw)
    async with app.transaction():
        await bound.put("mine/0", 0)
        cursors = [await bound.cursor()]
        await bound.put("mine/1", 1)
        async with app.savepoint():
            await bound.put("mine/2", 2)
            cursors.append((await bound.list("mine/*")).cursor)
        async with other.transaction():
            await theirs.put("theirs/1", 1)
            await state.put("alone", 1)
            cursors.append(await bound.cursor())
            cursors.append(await theirs.cursor())
            await bound.put("mine/3", 3)
            page = await bound.changes(cursors[0])
            assert [c.key for c in page.changes] == ["alone"]
        cursors.append(page.cursor)
    expected = {"mine/0", "mine/1", "mine/2", "mine/3", "theirs/1"}
    for number, cursor in enumerate(cursors):
        page = await state.changes(cursor)
        keys = [c.key for c in page.changes]
        assert sorted(keys) == sorted(expected | ({"alone"} if number < 2 else set())), number
        assert (await state.changes(page.cursor)).changes == []


async def test_op_id(state: State, app: App, bound: BoundState) -> None:
    with pytest.raises(Undo):
        async with app.transaction():
            assert await bound.merge("n", 1, "add", op_id="order-1") == 1
            raise Undo
    for _ in range(2):
        async with app.transaction():
            assert await bound.merge("n", 1, "add", op_id="order-1") == 1
    assert (await state.get("n")).value == 1  # type: ignore[union-attr]
    async with app.transaction():
        with pytest.raises(errors.OpIdReused):
            await bound.merge("n", 2, "add", op_id="order-1")
        await bound.put("n", 9)


async def test_many_tasks_on_one_connection(state: State, app: App, bound: BoundState) -> None:
    async with app.transaction():
        await asyncio.gather(*(bound.merge("n", 1, "add") for _ in range(50)), *(bound.get("n") for _ in range(50)))
    assert (await state.get("n")).value == 50  # type: ignore[union-attr]


async def test_agents_behind_one_login(
    open_app: Open, state: State, make_agent: MakeLogin, login_name: Callable[[str], str]
) -> None:
    for name in ("alice", "bob", "carol"):
        await make_agent(name, f"read {name}/**", f"write {name}/**")
    login = login_name("gateway")
    await state.create_gateway(login)
    for name in ("alice", "bob"):
        await state.delegate(login, name)
    app = await open_app(login)
    bound = state.bind(app.raw)
    alice, bob = bound.as_agent("alice"), bound.as_agent("bob")
    async with app.transaction():
        await alice.put("alice/x", 1)
        await bob.put("bob/x", 1)
        with pytest.raises(errors.AccessDenied, match="denied. Asked: agent alice to put bob/x"):
            await alice.put("bob/x", 2)
        assert await alice.me() == "alice"
        with pytest.raises(errors.AccessDenied, match="gateway"):
            async with app.savepoint():
                await bound.get("alice/x")
        with pytest.raises(errors.AccessDenied):
            async with app.savepoint():
                await bound.as_agent("carol").put("carol/x", 1)
    settings = "select coalesce(current_setting('pgstate.call_agent', true), '') || coalesce(current_setting('pgstate.wake', true), '')"
    assert await app.run(settings) == ""
    assert {(e.key, e.writer, e.via) for e in await state.list()} == {
        ("alice/x", "alice", login),
        ("bob/x", "bob", login),
    }
    carried = state.as_agent("bob").namespace("bob").bind(app.raw)
    assert await carried.get("x") is not None


async def test_the_codecs_stay(app: App, bound: BoundState, kind: str) -> None:
    async with app.transaction():
        await bound.put("k", {"a": 1})
        assert (await bound.get("k")).value == {"a": 1}  # type: ignore[union-attr]
        value = await app.run("select value from pgstate.entries")
    assert value == "the codec's"


async def test_a_wait_for_a_lock_ends(app: App, state: State, open_app: Open) -> None:
    other = await open_app()
    await state.put("k", 1)
    async with app.transaction():
        await state.bind(app.raw).put("k", 2)
        with pytest.raises(errors.Timeout):
            async with other.transaction():
                await state.bind(other.raw).with_timeout(0.2).put("k", 3)
        with pytest.raises(errors.DatabaseError) as caught:
            async with other.transaction():
                await other.run("set local lock_timeout = '50ms'")
                await state.bind(other.raw).put("k", 3)
        assert caught.value.code == "55P03"
        # the connection is in order
        async with other.transaction():
            assert (await state.bind(other.raw).get("k")).value == 1  # type: ignore[union-attr]
    assert (await state.get("k")).value == 2  # type: ignore[union-attr]


async def test_stricter_isolation(app: App, state: State, bound: BoundState) -> None:
    await state.put("k", 1)
    with pytest.raises(errors.DatabaseError) as caught:
        async with app.transaction():
            await app.run("set transaction isolation level repeatable read")
            await app.orders()
            await state.put("k", 2)
            await bound.put("k", 3)
    assert caught.value.code == "40001"


async def test_without_a_transaction(app: App, state: State, bound: BoundState, kind: str) -> None:
    await bound.put("k", 1)
    if kind not in ("asyncpg", "psycopg"):
        assert await state.get("k") is None
        await app.raw.commit()
    assert (await state.get("k")).value == 1  # type: ignore[union-attr]


async def test_a_connection_that_is_lost(app: App, bound: BoundState, database: Database) -> None:
    caught: list[errors.PgStateError] = []
    # what the end of the transaction raises then is the driver's
    with contextlib.suppress(asyncpg.InterfaceError, psycopg.OperationalError, DBAPIError):
        async with app.transaction():
            await bound.put("k", 1)
            database.sql(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                f" where state = 'idle in transaction' and datname = '{database.name}'"
            )
            try:
                await bound.put("k", 2)
            except errors.Unreachable as error:
                caught.append(error)
    assert len(caught) == 1
