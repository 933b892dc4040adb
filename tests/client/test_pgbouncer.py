"""Through the real PgBouncer: statements in every mode that has transactions, listening where that is possible, and a word
where it is not. Debian 12 has 1.18; PGSTATE_TEST_PGBOUNCER names another, of which both ways with statements are tried."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import psycopg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

import pgstate
from _cases import first_of
from _pgbouncer import PgBouncer, program, version
from _server import SUPERUSER
from client._cli import invoke, start
from client.conftest import Connect, MakeLogin
from conftest import INSTALLER, Database
from pgstate import State, errors, migrate
from pgstate._calls import pooler
from pgstate.doctor import examine

pytestmark = pytest.mark.skipif(program() is None, reason="no pgbouncer on this machine: apt-get install pgbouncer")
Make = Callable[..., PgBouncer]
ASYNCPG = tuple(int(part) for part in asyncpg.__version__.split(".")[:2])


@pytest.fixture
def pgbouncer(database: Database) -> Iterator[Make]:
    """`pgbouncer("transaction", default_pool_size=1)`: one before this test's server, ended after the test."""
    made: list[PgBouncer] = []

    def make(mode: str = "transaction", *logins: str, **settings: object) -> PgBouncer:
        made.append(PgBouncer(database.cluster, (INSTALLER, SUPERUSER, *logins), mode, **settings))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def statements() -> list[object]:
    """Values of max_prepared_statements; before 1.21 there is no such setting."""
    if program() is None or version() < (1, 21):
        return [pytest.param({}, id="as-it-is")]
    return [pytest.param({"max_prepared_statements": n}, id=f"prepared-{n}") for n in (0, 100)]


async def works(state: State) -> None:
    """Calls of all kinds, alone and at once, on keys of their own."""
    state = state.namespace(secrets.token_hex(4))
    version = await state.put("k", {"a": 1})
    assert (await state.get("k")).value == {"a": 1}  # type: ignore[union-attr]
    with pytest.raises(pgstate.VersionConflict):
        await state.put("k", 2, expect=version + 1)
    with pytest.raises(errors.PgStateError):
        await state.merge("k", "x", "append")
    await asyncio.gather(
        *(state.merge("n", 1, "add") for _ in range(300)), *(state.put(f"m/{i}", i) for i in range(99))
    )
    assert (await state.get("n")).value == 300  # type: ignore[union-attr]
    assert len(await state.list("m/*")) == 99
    claimed = await asyncio.gather(*(state.claim(f"m/{i}") for i in range(20)))
    await asyncio.gather(*(state.complete(claim.key, claim.token) for claim in claimed if claim))
    assert list(await state.changes(await state.cursor(), "m/**")) == []


async def left_behind(bouncer: PgBouncer, database: Database) -> tuple[int, int, int]:
    """Prepared statements, listened channels and open transactions on the server processes that clients share."""
    for _ in range(600):
        ((open_transactions,),) = database.sql(
            "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'"
        )
        if not open_transactions:
            break
        # what a client does in the background may be between two statements
        await asyncio.sleep(0.1)
    return *await asyncio.to_thread(_kept, bouncer, database), open_transactions


def _kept(bouncer: PgBouncer, database: Database) -> tuple[int, int]:
    with psycopg.connect(bouncer.dsn(database.name, INSTALLER), autocommit=True) as one:
        one.prepare_threshold = None
        ((names, channels),) = one.execute(
            "select (select count(*) from pg_prepared_statements where name <> ''), "
            "(select count(*) from pg_listening_channels())"
        ).fetchall()
    return names, channels


@pytest.mark.parametrize("settings", statements())
async def test_calls_in_transaction_mode(
    connect: Connect, pgbouncer: Make, database: Database, settings: dict[str, object]
) -> None:
    """Several processes' worth of clients share two server processes."""
    bouncer = pgbouncer(**settings)
    states = [await connect(dsn=bouncer.dsn(database.name, INSTALLER)) for _ in range(3)]
    for state in states:
        await works(state)
    await asyncio.gather(*(state.merge("shared", 1, "add") for state in states for _ in range(200)))
    assert (await states[0].get("shared")).value == 600  # type: ignore[union-attr]
    assert len(bouncer.admin("show servers")) <= 2 < len(bouncer.admin("show clients"))
    if not settings.get("max_prepared_statements"):
        assert await left_behind(bouncer, database) == (0, 0, 0)


async def test_calls_in_session_mode(connect: Connect, pgbouncer: Make, database: Database) -> None:
    bouncer = pgbouncer("session", default_pool_size=20)
    state = await connect(dsn=bouncer.dsn(database.name, INSTALLER))
    await works(state)
    async with state.watch("w") as watch:
        await state.put("w", 1)
        assert (await anext(watch)).value == 1
        assert database.sql("select count(*) from pgstate.watcher") != [(0,)]
        await state.put("w", 2)
        assert (await anext(watch)).value == 2
        # it may have been read before anybody was woken for it
        async with asyncio.timeout(60):
            while not state.stats.wakeups_received:
                await asyncio.sleep(0.01)


async def test_statement_mode_has_no_transactions(pgbouncer: Make, database: Database) -> None:
    bouncer = pgbouncer("statement")
    with pytest.raises(errors.Unreachable, match="statement pooling|closed the connection"):
        await pgstate.connect(bouncer.dsn(database.name, INSTALLER))


@pytest.mark.parametrize("settings", statements())
@pytest.mark.parametrize("size", first_of([1, 3]))
async def test_watching_without_an_address_for_it(
    connect: Connect,
    pgbouncer: Make,
    database: Database,
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, object],
    size: int,
) -> None:
    """It says what to do, registers nothing, and asks once a second."""
    bouncer = pgbouncer(default_pool_size=size, **settings)
    state = await connect(dsn=bouncer.dsn(database.name, INSTALLER))
    with caplog.at_level(logging.WARNING, "pgstate"):
        async with state.watch("w") as watch:
            for number in range(3):
                await state.put("w", number)
                assert (await anext(watch)).value == number
            assert database.sql("select count(*) from pgstate.watcher") == [(0,)]
    (said,) = [record.getMessage() for record in caplog.records]
    assert "once a second" in said and "listen_dsn" in said and "PGSTATE_LISTEN_DSN" in said
    assert state.stats.wakeups_received == 0
    assert (await left_behind(bouncer, database))[1:] == (0, 0)


@pytest.mark.parametrize("settings", statements())
async def test_watching_with_an_address_for_it(
    connect: Connect, pgbouncer: Make, database: Database, caplog: pytest.LogCaptureFixture, settings: dict[str, object]
) -> None:
    bouncer = pgbouncer(**settings)
    state = await connect(dsn=bouncer.dsn(database.name, INSTALLER), listen_dsn=database.dsn())
    other = await connect(dsn=bouncer.dsn(database.name, INSTALLER))
    async with state.watch("w/*") as watch:
        # the polls while the registration settles are over with this one
        await other.put("w/0", 0)
        assert (await anext(watch)).value == 0
        await asyncio.gather(*(other.put(f"w/{number}", number) for number in range(1, 50)))
        assert sorted([(await anext(watch)).value for _ in range(49)]) == list(range(1, 50))
        assert database.sql("select count(*) from pgstate.watcher") != [(0,)]
        waiting = asyncio.ensure_future(state.claim_next("t/*", wait=30))
        await other.put("t/1", 1)
        assert (await waiting).key == "t/1"  # type: ignore[union-attr]
    assert state.stats.wakeups_received > 0
    assert caplog.records == []


async def test_the_address_for_listening_must_be_the_servers_own(
    connect: Connect, pgbouncer: Make, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    bouncer = pgbouncer(**statements()[0].values[0])  # type: ignore[attr-defined]
    state = await connect(dsn=database.dsn(), listen_dsn=bouncer.dsn(database.name, INSTALLER))
    async with state.watch("w") as watch:
        await state.put("w", 1)
        assert (await anext(watch)).value == 1
    assert "transaction mode" in caplog.text
    assert (await left_behind(bouncer, database))[0] == 0


async def test_an_address_for_listening_that_leads_elsewhere(connect: Connect, database: Database) -> None:
    elsewhere = database.cluster.create_database("template_pgstate", INSTALLER)
    try:
        state = await connect(dsn=database.dsn(), listen_dsn=database.cluster.dsn(elsewhere, INSTALLER))
        await state.put("w", 1)
        with pytest.raises(errors.InvalidArgument, match="listen_dsn leads to another database"):
            async with state.watch("w") as watch:
                await anext(watch)
        await state.close()
    finally:
        database.cluster.drop_database(elsewhere)


def nameless(settings: dict[str, object]) -> dict[str, object]:
    """What asyncpg needs where the pooler keeps no prepared statements."""
    return {} if settings.get("max_prepared_statements") else {"statement_cache_size": 0}


@pytest.mark.parametrize("settings", statements())
async def test_a_pool_and_an_engine_of_the_applications(
    connect: Connect, pgbouncer: Make, database: Database, settings: dict[str, object]
) -> None:
    dsn = pgbouncer(**settings).dsn(database.name, INSTALLER)
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4, **nameless(settings)) as pool:
        state = await connect(pool=pool, listen_dsn=database.dsn())
        await works(state)
        async with state.watch("w") as watch:
            await state.put("w", 1)
            assert (await anext(watch)).value == 1
        await state.close()
    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://"), connect_args=nameless(settings))
    state = await connect(engine=engine)
    await works(state)
    async with state.watch("w") as watch:
        await state.put("w", 2)
        assert (await anext(watch)).value == 2
    await state.close()
    await engine.dispose()


async def test_a_pool_whose_statements_have_names(connect: Connect, pgbouncer: Make, database: Database) -> None:
    """Where the pooler passes names on: refused in transaction mode, with the remedy; fine in session mode."""
    settings = statements()[0].values[0]  # type: ignore[attr-defined]
    bouncer = pgbouncer(**settings)
    dsn = bouncer.dsn(database.name, INSTALLER)
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4) as pool:
        with pytest.raises(errors.InvalidArgument, match="statement_cache_size=0"):
            await connect(pool=pool)
    assert await left_behind(bouncer, database) == (0, 0, 0)
    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://"))
    with pytest.raises(errors.InvalidArgument, match="statement_cache_size=0"):
        await connect(engine=engine)
    await engine.dispose()
    dsn = pgbouncer("session", default_pool_size=20, **settings).dsn(database.name, INSTALLER)
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4) as pool:
        state = await connect(pool=pool)
        await works(state)
        await state.close()


@pytest.mark.parametrize("way", ["address", "pool"])
async def test_server_processes_that_hold_statements_of_others(
    connect: Connect, pgbouncer: Make, database: Database, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Left by an application that does not know of the pooler, under the names that asyncpg counts up in each process."""
    settings = statements()[0].values[0]  # type: ignore[attr-defined]
    bouncer = pgbouncer("transaction", default_pool_size=1, **settings)
    dsn = bouncer.dsn(database.name, INSTALLER)
    monkeypatch.setattr(asyncpg.connection, "_uid", 0)
    other = await asyncpg.connect(dsn)
    for n in range(10):
        await other.fetchval(f"select {n}")
    await other.close()
    monkeypatch.setattr(asyncpg.connection, "_uid", 0)
    if way == "pool":
        async with asyncpg.create_pool(dsn, min_size=1, max_size=2, max_inactive_connection_lifetime=0) as pool:
            with pytest.raises(errors.InvalidArgument, match="statement_cache_size=0"):
                await pgstate.connect(pool=pool)
    else:
        await works(await connect(dsn=dsn))


async def test_an_agent_of_its_own(
    connect: Connect, pgbouncer: Make, database: Database, make_agent: MakeLogin
) -> None:
    login = await make_agent("alice", "read a/**", "write a/**", login=True)
    assert login is not None
    alice = await connect(dsn=pgbouncer("transaction", login).dsn(database.name, login), listen_dsn=database.dsn(login))
    await alice.put("a/x", 1)
    with pytest.raises(errors.AccessDenied):
        await alice.put("b/x", 1)
    async with alice.watch("a/**") as watch:
        await alice.put("a/x", 2)
        assert (await anext(watch)).value == 2


@pytest.mark.skipif(
    ASYNCPG < (0, 32), reason="asyncpg before 0.32 waits until a statement that it cancelled has been begun"
)
async def test_a_pool_of_server_processes_that_others_keep(
    connect: Connect, pgbouncer: Make, database: Database
) -> None:
    """A call gives up in time while it waits for its turn, and the next one is not troubled by that."""
    bouncer = pgbouncer(default_pool_size=1, **(statements()[0].values[0]))  # type: ignore[attr-defined]
    state = await connect(dsn=bouncer.dsn(database.name, INSTALLER))
    await state.put("k", 1)
    holder = await asyncpg.connect(bouncer.dsn(database.name, INSTALLER), statement_cache_size=0)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("select 1")
    impatient = state.with_timeout(0.3)
    for call in (impatient.get("k"), impatient.put("k", 2), impatient.list()):
        with pytest.raises(errors.Timeout):
            await call
    await transaction.rollback()
    await holder.close()
    await works(state)
    assert await left_behind(bouncer, database) == (0, 0, 0)


async def test_whoever_finds_the_pooler_out_keeps_no_server_process(
    pgbouncer: Make, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two processes: another client has taken the one that the first connection had, and the second has the last. That
    is what many clients do to each other which connect at the same time."""
    dsn = pgbouncer(default_pool_size=2).dsn(database.name, INSTALLER)
    first, second, another, bystander = [await asyncpg.connect(dsn, statement_cache_size=0) for _ in range(4)]
    taken, begun = another.transaction(), asyncio.Event()
    begin = pooler.transaction

    @asynccontextmanager
    async def beside(connection: Any, timeout: float) -> AsyncIterator[None]:
        if connection is second:
            await taken.start()
            await another.execute("select")
        async with begin(connection, timeout):
            if connection is second:
                begun.set()
            yield

    monkeypatch.setattr(pooler, "transaction", beside)
    finding = asyncio.create_task(pooler.has_session(first, second, timeout=60))
    async with asyncio.timeout(30):
        await begun.wait()
        assert await bystander.fetchval("select 1") == 1
        await taken.rollback()
        assert await finding is False
    for connection in (first, second, another, bystander):
        await connection.close()


async def test_a_call_that_is_given_up(connect: Connect, pgbouncer: Make, database: Database) -> None:
    bouncer = pgbouncer(default_pool_size=1)
    state = await connect(dsn=bouncer.dsn(database.name, INSTALLER))
    await state.put("k", 1)
    for _ in range(5):
        call = asyncio.ensure_future(state.list())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await state.get("k")).value == 1  # type: ignore[union-attr]
    assert (await left_behind(bouncer, database))[1:] == (0, 0)


@pytest.mark.parametrize("settings", statements())
@pytest.mark.thorough
def test_migrating(pgbouncer: Make, database: Database, settings: dict[str, object]) -> None:
    name = database.cluster.create_database(owner=INSTALLER)
    try:
        dsn = pgbouncer(**settings).dsn(name, INSTALLER)
        assert migrate.current_dsn(dsn) is None
        assert migrate.upgrade_dsn(dsn)[-1] == migrate.HEAD
        assert migrate.upgrade_dsn(dsn) == []
        assert migrate.current_dsn(dsn) == migrate.HEAD
        assert migrate.downgrade_dsn(dsn, "0001")[-1] == "0002"
        assert migrate.upgrade_dsn(dsn)[-1] == migrate.HEAD
    finally:
        database.cluster.drop_database(name)


def test_the_command_line(pgbouncer: Make, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    dsn = pgbouncer().dsn(database.name, INSTALLER)
    assert invoke("put", "a/x", "1", dsn=dsn).code == 0
    # on stderr, a log line each
    told = "transaction mode"
    process = start("watch", "a/*", "--initial", "--json", dsn=dsn)
    assert process.stdout is not None and process.stderr is not None
    assert told in process.stderr.readline()
    assert json.loads(process.stdout.readline())["value"] == 1
    process.terminate()
    process.communicate()
    monkeypatch.setenv("PGSTATE_LISTEN_DSN", database.dsn())
    for options in ((), ("--listen-dsn", database.dsn())):
        process = start("watch", "a/*", "--initial", "--json", *options, dsn=dsn)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["value"] == 1
        process.terminate()
        _, said = process.communicate()
        assert told not in said
        monkeypatch.delenv("PGSTATE_LISTEN_DSN", raising=False)


def test_doctor_finds_the_pooler(pgbouncer: Make, database: Database) -> None:
    """And that a listen_dsn that leads through one is none."""

    def found(dsn: str, **options: str) -> dict[str, str]:
        findings = asyncio.run(examine(dsn, **options))
        return {finding.check: finding.what for finding in findings if finding.check in ("pooler", "listener")}

    shared = pgbouncer("transaction").dsn(database.name, INSTALLER)
    own = pgbouncer("session").dsn(database.name, INSTALLER)
    assert "LISTEN does not work" in found(shared)["pooler"]
    assert found(shared, listen_dsn=database.dsn(INSTALLER)) == {}
    assert found(shared, listen_dsn=shared) == {"listener": "listen_dsn leads through a pooler too"}
    # each client has a server process to itself
    assert found(own) == {}
    assert found(database.dsn(INSTALLER)) == {}
    said = invoke("doctor", "--json", dsn=shared)
    assert said.code == 1, said.out + said.err
    (finding,) = [json.loads(line) for line in said.out.splitlines() if json.loads(line)["check"] == "pooler"]
    assert finding["level"] == "problem" and "--listen-dsn" in finding["remedy"]
