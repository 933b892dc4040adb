"""The models and helpers in an application's sessions: its own tables beside pgstate's, in one transaction."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, NullPool, create_engine, delete, func, select, text, update
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, aliased, selectinload

import pgstate
import pgstate.orm
from _patterns import KEYS, PATTERNS, some_keys, some_patterns
from _sync import wait_until_blocked
from client._bound import address
from client._orders import Base, Customer, Order, SoldOut, open_tasks, place, work
from client.conftest import Connect, MakeLogin
from conftest import INSTALLER, Database
from pgstate import BoundState, State, errors, models
from pgstate.models import Activity, Agent, Claim, Entry, Grant, Policy, Version, matching


@pytest.fixture
async def engine(dsn: str) -> AsyncIterator[AsyncEngine]:
    made = create_async_engine(address(dsn, "asyncpg"))
    async with made.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield made
    await made.dispose()


@pytest.fixture
async def sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    maker = async_sessionmaker(engine)
    async with maker.begin() as session:
        session.add_all([Customer(id=1, name="Ana"), Customer(id=2, name="Bo")])
    return maker


def sync_engine(database: Database, login: str = INSTALLER) -> Engine:
    return create_engine(address(database.dsn(login), "psycopg"), poolclass=NullPool)


async def test_an_application(state: State, connect: Connect, sessions: async_sessionmaker[AsyncSession]) -> None:
    async with sessions() as session:
        for number in range(1, 6):
            await place(session, number, 1 + number % 2, f"item {number % 3}")
        with pytest.raises(SoldOut):
            await place(session, 6, 1, "unicorn")
        with pytest.raises(IntegrityError):
            await place(session, 7, 99, "for nobody")
        with pytest.raises((IntegrityError, errors.VersionConflict)):
            await place(session, 3, 1, "again")
    assert [e.key for e in await state.list("tasks/*")] == [f"tasks/order-{n}" for n in range(1, 6)]
    async with sessions() as session:
        assert (await session.scalar(select(func.count()).select_from(Order))) == 5
        task = await state.claim("tasks/order-1")
        assert task is not None
        rows = (await session.execute(open_tasks("Bo"))).all()
        assert [tuple(row) for row in rows] == [
            (1, {"order": 1}, "admin"), (3, {"order": 3}, None), (5, {"order": 5}, None),
        ]  # fmt: skip
        order = await session.get_one(Order, 1, options=[selectinload(Order.task).selectinload(Entry.claim)])
        assert order.task is not None and order.task.claim is not None and order.task.claim.holder == "admin"
        await state.release(task.key, task.token)
    with pytest.raises(SoldOut):
        await work(state, sessions, crash_at=2)
    assert (await state.get("shipped/count")).value == 1  # type: ignore[union-attr]
    async with sessions() as session:
        assert (await session.scalar(select(Order.status).where(Order.id == 2))) == "placed"
        (held,) = await pgstate.orm.claims(session, "tasks/*")
        assert held.key == "tasks/order-2"
        await state.release(held.key, (await session.scalars(select(Claim.token))).one())
    workers = [await connect() for _ in range(3)]
    assert sum(await asyncio.gather(*(work(worker, sessions) for worker in workers))) == 4
    assert (await state.get("shipped/count")).value == 5  # type: ignore[union-attr]
    assert sorted((await state.get("shipped/items")).value) == ["item 0", "item 1", "item 2"]  # type: ignore[union-attr]
    async with sessions() as session:
        assert set(await session.scalars(select(Order.status))) == {"shipped"}
        assert not list(await session.scalars(select(Entry).where(Entry.matches("tasks/**"))))


async def test_concurrent_sessions(state: State, sessions: async_sessionmaker[AsyncSession]) -> None:
    """Of transactions that each read and write, with rollbacks among them, none is lost and none shows in part."""

    async def one(number: int) -> bool:
        async with sessions() as session:
            try:
                async with session.begin():
                    # which waits for all that come before
                    await pgstate.orm.bind(session, timeout=120).merge("sum", number, "add")
                    session.add(Order(id=number, customer_id=1, item="x", task_key=f"tasks/{number}"))
                    await session.flush()
                    await pgstate.orm.put(session, f"tasks/{number}", number)
                    if number % 5 == 0:
                        raise SoldOut
                    async with session.begin_nested() as savepoint:
                        await pgstate.orm.merge(session, "sum", 1000, "add")
                        await savepoint.rollback()
            except SoldOut:
                return False
            return True

    cursor = await state.cursor()
    done = await asyncio.gather(*(one(n) for n in range(1, 41)))
    kept = [n for n, ok in zip(range(1, 41), done, strict=True) if ok]
    assert (await state.get("sum")).value == sum(kept)  # type: ignore[union-attr]
    async with sessions() as session:
        assert sorted(await session.scalars(select(Order.id))) == kept
        joined = await session.scalars(select(Order.id).join(Entry, Entry.key == Order.task_key))
        assert sorted(joined) == kept
    keys = [c.key for c in (await state.changes(cursor)).changes]
    assert len(keys) == 2 * len(kept) and len(set(keys)) == len(kept) + 1


async def test_a_lost_race_between_sessions(
    state: State, sessions: async_sessionmaker[AsyncSession], admin: asyncpg.Connection
) -> None:
    await state.put("k", 1)
    async with sessions() as one, sessions() as two:
        begun = asyncio.get_running_loop().create_future()
        async with one.begin():
            await pgstate.orm.put(one, "k", 2, expect=1)

            async def second() -> int:
                async with two.begin():
                    begun.set_result(await two.scalar(select(func.pg_backend_pid())))
                    with pytest.raises(errors.VersionConflict):
                        await pgstate.orm.put(two, "k", 3, expect=1)
                    return await pgstate.orm.put(two, "k", 3, expect=2)

            waiting = asyncio.create_task(second())
            await wait_until_blocked(admin, await begun)
        assert await waiting == 3


async def test_helpers_are_the_methods_of_a_bound_state() -> None:
    names = {name for name, thing in vars(pgstate.orm).items() if inspect.iscoroutinefunction(thing)}
    areas = {name for name in dir(BoundState) if not name.startswith("_")}
    assert names <= areas
    # administration, views of the state, and what a transaction cannot do have no helper: bind(session) has them
    assert areas - names == {
        "add_to_group", "allow_credential", "create_group", "credentials", "disallow_credential", "endorse", "resolve", "set_trust", "deny_access", "drop_group", "effective", "explain_access", "groups", "harden", "issue_ticket", "quotas", "remove_from_group", "require_tickets", "rotate_ticket_keys", "set_quota",
        "export_changes", "quarantine", "rekey", "resume_agent", "suspend_agent", "agents", "as_agent", "audit", "create_agent", "create_gateway", "create_reader", "delegate", "drop_agent", "drop_gateway",
        "drop_policy", "drop_reducer", "explain_policy", "grant_access", "grants", "info", "maintain", "me", "namespace",
        "create_vectors", "drop_search", "drop_vectors", "embed", "searches", "set_search", "set_vectors", "unembedded", "vectors",
        "policies", "register_reducer", "revoke_access", "set_login", "set_policy", "stats", "typed", "undelegate", "watch",
        "set_audit", "set_audit_chain", "verify_audit", "with_timeout", "claim_log", "leader", "lock", "semaphore", "work",
        "delete_runs", "namespaces", "put_embedded", "run", "runs", "thread", "threads", "touch",
    }  # fmt: skip
    for name in names:
        helper, method = getattr(pgstate.orm, name), getattr(BoundState, name)
        ours, theirs = inspect.signature(helper).parameters, inspect.signature(method).parameters
        assert next(iter(ours)) == "session" and list(ours.values())[1:] == list(theirs.values())[1:]
        assert helper.__doc__


async def test_sessions_of_all_kinds(engine: AsyncEngine, state: State) -> None:
    maker = async_sessionmaker(engine, expire_on_commit=False)
    scoped = async_scoped_session(maker, scopefunc=asyncio.current_task)
    await pgstate.orm.put(scoped, "k", 1)
    await scoped.commit()
    await scoped.remove()
    async with engine.begin() as connection:
        await pgstate.orm.put(connection, "k", 2)
        async with AsyncSession(connection) as session:
            assert (await pgstate.orm.get(session, "k")).value == 2  # type: ignore[union-attr]
    automatic = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with automatic.connect() as connection:
        await pgstate.orm.put(connection, "k", 3)
        assert (await state.get("k")).value == 3  # type: ignore[union-attr]
    for nonsense in (object(), engine, sync_engine, "postgresql://", None):
        with pytest.raises(errors.InvalidArgument, match="can be bound to"):
            pgstate.orm.bind(nonsense)  # type: ignore[arg-type]
    with Session() as session, pytest.raises(errors.InvalidArgument, match="AsyncSession"):
        state.bind(session)
    for bad in ("soon", None):
        with pytest.raises(errors.InvalidArgument):
            pgstate.orm.bind(scoped, timeout=bad)  # type: ignore[arg-type]


async def test_after_a_failed_flush_nothing_commits_by_itself(
    state: State, sessions: async_sessionmaker[AsyncSession]
) -> None:
    async with sessions() as session:
        await pgstate.orm.put(session, "k", 1)
        session.add(Order(id=1, customer_id=99, item="x", task_key="k"))
        with pytest.raises(IntegrityError):
            await session.flush()
        # SQLAlchemy has rolled back; it wants to be told that the caller knows
        with pytest.raises(Exception, match="rolled back"):
            await pgstate.orm.put(session, "k", 2)
        await session.rollback()
        assert await pgstate.orm.get(session, "k") is None
        await pgstate.orm.put(session, "k", 3)
        await session.rollback()
    assert await state.get("k") is None


async def test_a_login_per_application(
    state: State, database: Database, make_agent: MakeLogin, engine: AsyncEngine, login_name: Callable[[str], str]
) -> None:
    """Who acts is decided by the session's login; for a gateway it is named."""
    login = await make_agent("shop", "read shop/**", "write shop/**", login=True)
    gateway = login_name("gateway")
    await state.create_gateway(gateway)
    await state.delegate(gateway, "shop")
    for who, agent in ((login, None), (gateway, "shop")):
        own = create_async_engine(address(database.dsn(who), "asyncpg"))
        async with AsyncSession(own) as session, session.begin():
            bound = pgstate.orm.bind(session, agent=agent)
            await bound.put("shop/x", 1)
            with pytest.raises(errors.AccessDenied):
                await bound.put("x", 1)
        await own.dispose()
    assert {(v.writer, v.via) for v in await state.history("shop/x")} == {("shop", login), ("shop", gateway)}


async def test_relationships(state: State, sessions: async_sessionmaker[AsyncSession], make_agent: MakeLogin) -> None:
    await state.put("a", 1)
    await state.put("a", 2)
    await state.put("b", 1)
    claim = await state.claim("a")
    await make_agent("alice", "read a/**", "write b")
    async with sessions() as session:
        query = select(Entry).options(selectinload(Entry.versions), selectinload(Entry.claim)).order_by(Entry.key)
        one, two = await session.scalars(query)
        assert [v.value for v in one.versions] == [1, 2] and [v.value for v in two.versions] == [1]
        assert claim is not None and one.claim.token == claim.token and two.claim is None
        (held,) = await session.scalars(select(Claim))
        assert (await held.awaitable_attrs.entry) is one
        assert (await one.versions[0].awaitable_attrs.entry) is one
        agents = await session.scalars(select(Agent).options(selectinload(Agent.grants)).where(Agent.name == "alice"))
        assert {(g.subtree, g.right) for g in agents.one().grants} >= {("a/**", "read"), ("b", "write")}
        latest = (
            await session.scalars(
                select(Entry)
                .join(Entry.versions)
                .where(Version.op == "put", Version.value == text("'1'::jsonb"))
                .distinct()
            )
        ).all()
        assert {entry.key for entry in latest} == {"a", "b"}


async def test_rows_say_which_they_are(sessions: async_sessionmaker[AsyncSession], state: State) -> None:
    await state.put("a", {"long": "value"})
    async with sessions() as session:
        entry = (await session.scalars(select(Entry))).one()
        version = (await session.scalars(select(models.Version))).one()
        assert (repr(entry), repr(version)) == ("Entry(key='a')", "Version(key='a', version=1)")
        session.expire(entry)
    assert repr(entry) == "Entry()"


async def test_models_are_for_reading(sessions: async_sessionmaker[AsyncSession], state: State) -> None:
    await state.put("a", 1)
    for change in ("add", "update", "delete"):
        async with sessions() as session:
            entry = (await session.scalars(select(Entry))).one()
            if change == "add":
                session.add(models.EntryRow(key="b", parent="", version=1, live=True, value=1))
            elif change == "update":
                entry.value = 2
            else:
                await session.delete(entry)
            with pytest.raises(errors.InvalidArgument, match=r"pgstate\.orm"):
                await session.flush()
    assert (await state.get("a")).value == 1  # type: ignore[union-attr]


def test_a_reader_cannot_write_through_the_models(database: Database, login_name: Callable[[str], str]) -> None:
    reader = login_name("reader")
    database.sql("select pgstate.put('a', '1')", INSTALLER)
    database.sql(f"select pgstate.create_reader('{reader}', '**')", INSTALLER)
    for statement in (delete(Entry), delete(Activity), update(models.EntryRow).values(version=9)):
        with (
            Session(sync_engine(database, reader)) as session,
            pytest.raises(ProgrammingError, match="permission denied"),
        ):
            session.execute(statement)


def listed(session: Session, pattern: str) -> list[str]:
    return list(session.scalars(text("select key from pgstate.list(:p, null)").bindparams(p=pattern)))


@pytest.mark.core
def test_patterns_match_what_list_lists(database: Database) -> None:
    with Session(sync_engine(database)) as session:
        session.execute(text("select count(pgstate.put(k, '1')) from unnest(cast(:keys as text[])) k"), {"keys": KEYS})
        renamed = aliased(Entry)
        for pattern in PATTERNS:
            expected = listed(session, pattern)
            for model in (Entry, renamed, models.EntryRow, Version, Activity):
                found = session.scalars(select(model.key).where(model.matches(pattern)).order_by(model.key))
                assert list(found) == expected, (pattern, model)
        several = select(Entry.key).where(Entry.matches("a/b", "b/**", "~"))
        assert set(session.scalars(several)) == {"a/b", "~", *listed(session, "b/**")}
        assert len(list(session.scalars(select(Entry.key).where(Entry.matches())))) == len(KEYS)
    for bad in ("a//b", "/a", "a**", "..", "a b", "x" * 513, "*" * 17, None):
        with pytest.raises(errors.InvalidPattern):
            Entry.matches(bad)  # type: ignore[arg-type]


def test_patterns_match_a_column_of_the_applications(database: Database) -> None:
    with Session(sync_engine(database)) as session:
        Base.metadata.create_all(session.connection(), tables=[Customer.__table__])  # type: ignore[list-item]
        session.add_all([Customer(id=n, name=key) for n, key in enumerate(KEYS)])
        session.execute(text("select count(pgstate.put(k, '1')) from unnest(cast(:keys as text[])) k"), {"keys": KEYS})
        for pattern in PATTERNS:
            found = session.scalars(select(Customer.name).where(matching(Customer.name, pattern)))
            assert sorted(found) == listed(session, pattern), pattern


def test_random_patterns_match_what_list_lists(database: Database) -> None:
    with Session(sync_engine(database)) as session:

        @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(st.data())
        def check(data: Any) -> None:
            keys = sorted(data.draw(st.lists(some_keys, min_size=3, max_size=8)))
            keys += [key.split("/", n)[-1] for key in keys for n in (1, 2)]
            session.execute(text("select count(pgstate.put(k, '1')) from unnest(cast(:k as text[])) k"), {"k": keys})
            for pattern in data.draw(st.lists(some_patterns(keys).filter(bool), min_size=1, max_size=6)):
                found = session.scalars(select(Entry.key).where(Entry.matches(pattern)).order_by(Entry.key))
                assert list(found) == listed(session, pattern), pattern
            session.rollback()

        check()


def test_patterns_use_the_index(database: Database, login_name: Callable[[str], str]) -> None:
    reader = login_name("reader")
    database.sql(f"select pgstate.create_reader('{reader}', '**')", INSTALLER)
    database.sql(
        "insert into pgstate.entry (key, parent, version, live, value, writer, via, created_at, updated_at)"
        " select 'd' || n % 100 || '/k' || n, 'd' || n % 100, 1, true, '1', 'w', 'w', now(), now() from generate_series(1, 20000) n"
    )
    database.sql("analyze pgstate.entry")
    for login in (INSTALLER, reader):
        with Session(sync_engine(database, login)) as session:
            for pattern in ("d7/**", "d7/*", "d7/k7", "d7/k*", "d7/*/**", "d7/**/k107"):
                query = select(Entry.key).where(Entry.matches(pattern))
                sql = query.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
                plan = "\n".join(session.scalars(text(f"explain {sql}".replace(":", r"\:"))))
                assert "entry_pkey" in plan and "Index Cond" in plan and "Seq Scan on entry" not in plan, (
                    pattern,
                    plan,
                )
            joined = select(Entry.key).where(matching(Entry.key, "d7/**", "d8/k8"))
            sql = joined.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
            plan = "\n".join(session.scalars(text(f"explain {sql}".replace(":", r"\:"))))
            assert "Seq Scan on entry" not in plan


@pytest.mark.core
def test_what_a_reader_sees_of_the_views(database: Database, login_name: Callable[[str], str]) -> None:
    reader = login_name("reader")
    database.sql(
        "select pgstate.put('open/a', '1'), pgstate.put('shut/a', '2'), pgstate.create_agent('alice'),"
        " pgstate.grant_access('alice', 'shut/**', 'read'), pgstate.set_policy('open/**', ttl => '1 h'),"
        " pgstate.set_policy('shut/**', ttl => '1 h')",
        INSTALLER,
    )
    database.sql(f"select pgstate.create_reader('{reader}', 'open/**')", INSTALLER)
    with Session(sync_engine(database, reader)) as session:
        assert list(session.scalars(select(Activity.key))) == ["open/a"]
        assert list(session.scalars(select(Agent.name))) == [reader]
        assert [(g.agent, g.subtree, g.right) for g in session.scalars(select(Grant))] == [(reader, "open/**", "read")]
        assert list(session.scalars(select(Policy.subtree))) == ["open/**"]
    with Session(sync_engine(database)) as session:
        assert set(session.scalars(select(Activity.key))) == {"open/a", "shut/a"}
        assert {"admin", "alice", reader} == set(session.scalars(select(Agent.name)))
        assert set(session.scalars(select(Policy.subtree))) == {"open/**", "shut/**"}
    nobody = login_name("nobody")
    database.sql(f"create role {nobody} login")
    for view in (Activity, Agent, Grant, Policy):
        with (
            Session(sync_engine(database, nobody)) as session,
            pytest.raises(ProgrammingError, match="permission denied"),
        ):
            session.execute(select(view))
    # membership alone makes nobody an agent
    database.sql(f"grant pgstate_reader to {nobody}")
    with Session(sync_engine(database, nobody)) as session:
        assert session.scalars(select(Activity)).all() == []


async def test_activity(state: State, sessions: async_sessionmaker[AsyncSession]) -> None:
    await state.put("a", {"text": "x" * 50})
    await state.merge("n", 1, "add")
    await state.delete("a")
    async with sessions() as session, session.begin():
        await pgstate.orm.put(session, "b", 1)
        await pgstate.orm.put(session, "c", 1)
    async with sessions() as session:
        seen = (await session.scalars(select(Activity))).all()
        assert [(row.op, row.key, row.version) for row in seen] == [
            ("put", "c", 1), ("put", "b", 1), ("delete", "a", 2), ("merge", "n", 1), ("put", "a", 1),
        ]  # fmt: skip
        assert [row.created for row in seen] == [True, True, False, True, True]
        assert seen[0].xid == seen[1].xid and len({row.xid for row in seen}) == 4
        assert seen[2].size is None and seen[4].size is not None and 50 < seen[4].size < 200
        assert {(row.writer, row.via) for row in seen} == {("admin", INSTALLER)}


@pytest.mark.core
def test_the_newest_activity_costs_what_it_shows(database: Database, login_name: Callable[[str], str]) -> None:
    reader = login_name("reader")
    database.sql(f"select pgstate.create_reader('{reader}', '**')", INSTALLER)
    database.sql(
        "insert into pgstate.version (key, version, epoch, op, value, writer, via, at)"
        " select 'k', n, 1, 'put', to_jsonb(repeat('x', 100)), 'w', 'w', now() from generate_series(1, 20000) n"
    )
    database.sql("analyze pgstate.version")
    for login in (INSTALLER, reader):
        plan = "\n".join(
            row[0]
            for row in database.sql(
                "explain (analyze, costs off, timing off) select * from pgstate.activity limit 20", login
            )
        )
        assert "Index Scan Backward using version_seq_idx" in plan and "Sort" not in plan, plan
        assert "_value_at" not in plan
        assert "rows=20" in plan and "20000" not in plan, plan
