"""Migrating a database that an application works in: locks, running writers, event triggers, and runs that are killed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from _cases import first_of
from _server import SUPERUSER, Cluster
from _sync import wait_until_blocked, wait_until_gone
from conftest import INSTALLER, Database
from migration._catalogue import REVISIONS, dump, psql
from pgstate import errors, migrate

Open = Callable[..., Awaitable[asyncpg.Connection]]
# the newest first: that one may still change
STEPS = list(itertools.pairwise(REVISIONS))[::-1]
# in whichever database the migration runs: its backend waits for a table
WAITING = """
select l.pid from pg_locks l join pg_class c on c.oid = l.relation
 where not l.granted and l.mode = 'AccessExclusiveLock' and l.database = (select oid from pg_database where datname = current_database())
"""


@pytest.fixture
async def opened() -> AsyncIterator[Callable[[Database], Awaitable[asyncpg.Connection]]]:
    made: list[asyncpg.Connection] = []

    async def connect(database: Database, login: str = INSTALLER) -> asyncpg.Connection:
        made.append(await asyncpg.connect(database.dsn(login)))
        return made[-1]

    yield connect
    for connection in made:
        connection.terminate()


async def wait_for(connection: asyncpg.Connection, query: str) -> object:
    for _ in range(12_000):
        if (found := await connection.fetchval(query)) is not None:
            return found
        await asyncio.sleep(0.005)
    raise AssertionError("nothing came")


@pytest.mark.core
@pytest.mark.parametrize("step", first_of((step,) for step in STEPS), ids="-".join)
@pytest.mark.parametrize("direction", ["up", "down"])
def test_no_table_is_rewritten(empty: Callable[[], Database], step: tuple[str, str], direction: str) -> None:
    """The locks of a revision are exclusive, and held for as long as its statements take: none of which touches rows of a
    table that grows. Rewriting one would give it another file."""
    database = empty()
    start, end = step if direction == "up" else step[::-1]
    migrate.upgrade_dsn(database.dsn(), start)
    database.sql("select pgstate.put('k' || n, to_jsonb(n)) from generate_series(1, 50) n", INSTALLER)
    files = """select c.relname, c.relfilenode from pg_class c where c.relkind in ('r', 'i')
        and c.relnamespace = 'pgstate'::regnamespace and c.relname ~ '^(entry|version|claim|lane|op|login|agent|access_grant)(_pkey|_name_key|_.*_idx)?$' order by 1"""
    before = dict(database.sql(files))
    script = migrate.sql(end, start=start, data_loss=True)
    # at its very end, with everything still locked
    table = "create table public.seen as select c.relname, l.mode from pg_locks l join pg_class c on c.oid = l.relation where l.pid = pg_backend_pid() and c.relnamespace = 'pgstate'::regnamespace and c.relkind in ('r', 'v') and l.granted;"
    head, commit, tail = script.rpartition("COMMIT;")
    psql(database, head + table + commit + tail)
    after = dict(database.sql(files))
    # of few rows: what is its key may change
    both = before.keys() & after.keys() - {"access_grant_pkey"}
    assert {"entry", "version", "claim", "lane", "op", "login", "agent", "access_grant"} <= both
    assert {name: after[name] for name in both} == {name: before[name] for name in both}
    held = database.sql("select relname, array_agg(distinct mode) from public.seen group by 1")
    locked = {name for name, modes in held if "AccessExclusiveLock" in modes}
    assert {"entry", "version", "claim", "login"} <= locked
    assert {mode for _, modes in held for mode in modes} <= {
        "AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareLock", "ShareRowExclusiveLock", "ShareUpdateExclusiveLock", "AccessExclusiveLock",
    }  # fmt: skip
    assert database.sql("select count(*) from pgstate.entries", INSTALLER) == [(50,)]


async def test_a_session_in_the_way_is_named(empty: Callable[[], Database], opened: Open) -> None:
    database = empty()
    await migrate.upgrade_async(database.dsn(), "0001")
    before = dump(database)
    holder = await opened(database)
    await holder.execute("set application_name = 'nightly report'; begin; select * from pgstate.put('k', '1')")
    pid = holder.get_server_pid()
    with pytest.raises(errors.SchemaBusy) as caught:
        await migrate.upgrade_async(database.dsn(), lock_timeout=0.2)
    said = str(caught.value)
    assert f"process {pid} (login installer, nightly report, idle in transaction, in a transaction since" in said
    assert "gave up after 0.2 s of waiting for pgstate." in said
    assert (
        f"Nothing was changed. When those have ended their transactions, migrate again; to end one: select pg_terminate_backend({pid})."
        in said
    )
    assert dump(database) == before
    # the same from a script for psql
    with pytest.raises(AssertionError, match=rf"process {pid} .*nightly report"):
        psql(database, migrate.sql(start="0001", lock_timeout=0))
    assert dump(database) == before
    await holder.execute("commit")
    assert await migrate.upgrade_async(database.dsn()) == REVISIONS[1:]
    assert await holder.fetchval("select value::text from pgstate.get('k')") == "1"


def test_a_prepared_transaction_in_the_way_is_named(new_cluster: Callable[..., Cluster]) -> None:
    """It has no process, and stays until somebody ends it."""
    cluster = new_cluster(settings={"max_prepared_transactions": "2"})
    cluster.sql(f"create role {INSTALLER} login createrole")
    database = Database(cluster, cluster.create_database(owner=INSTALLER))
    migrate.upgrade_dsn(database.dsn(), REVISIONS[-2])
    cluster.sql(
        "begin; set local pgstate.notify = off; select pgstate.put('k', '1'); prepare transaction 'it''s mine'",
        database.name, INSTALLER,
    )  # fmt: skip
    with pytest.raises(errors.SchemaBusy) as caught:
        migrate.upgrade_dsn(database.dsn(), lock_timeout=0)
    assert re.search(rf"in use by the prepared transaction 'it''s mine' \(of {INSTALLER}, since ", str(caught.value))
    assert "to end one: rollback prepared 'it''s mine'" in str(caught.value)
    cluster.sql("rollback prepared 'it''s mine'", database.name, INSTALLER)
    assert migrate.upgrade_dsn(database.dsn(), lock_timeout=0) == REVISIONS[-1:]


@pytest.mark.thorough
async def test_autovacuum_gives_way(new_cluster: Callable[..., Cluster], opened: Open) -> None:
    """It is long at work on a large table, and comes back as soon as it can."""
    rarely = {f"autovacuum_{name}_threshold": "2000000000" for name in ("vacuum", "vacuum_insert", "analyze")}
    slowly = {"autovacuum_vacuum_cost_delay": "100ms", "autovacuum_vacuum_cost_limit": "1"}
    cluster = new_cluster(
        settings={"autovacuum": "on", "autovacuum_naptime": "1s", "deadlock_timeout": "600ms", **rarely, **slowly}
    )
    cluster.sql(f"create role {INSTALLER} login createrole")
    database = Database(cluster, cluster.create_database(owner=INSTALLER), INSTALLER)
    await migrate.upgrade_async(database.dsn(), REVISIONS[-2])
    values = "select count(pgstate.put('k' || n, to_jsonb(repeat(md5(n::text), 20)))) from generate_series(1, 2000) n"
    database.sql(values, INSTALLER)
    database.sql("alter table pgstate.version set (autovacuum_vacuum_insert_threshold = 1, autovacuum_vacuum_insert_scale_factor = 0)")  # fmt: skip
    watcher = await opened(database, SUPERUSER)
    await wait_for(watcher, "select pid from pg_stat_activity where query = 'autovacuum: VACUUM pgstate.version'")
    assert await migrate.upgrade_async(database.dsn(), lock_timeout=5) == REVISIONS[-1:]


async def test_writers_go_on_while_a_migration_waits(empty: Callable[[], Database], opened: Open) -> None:
    """It takes all its locks or none, and gives way again and again: a session that keeps one table does not stop the rest."""
    database = empty()
    await migrate.upgrade_async(database.dsn(), "0002")
    holder, writer, watcher = [await opened(database, login) for login in (SUPERUSER, INSTALLER, INSTALLER)]
    await holder.execute("begin; lock table pgstate.watcher in access share mode")
    run = asyncio.create_task(migrate.upgrade_async(database.dsn()))
    for number in range(3):
        await wait_for(watcher, WAITING)
        # behind the migration, which holds every other table; it steps back before this one does
        assert await writer.fetchval("select version from pgstate.put('k', $1)", f"{number}") == number + 1
    assert not run.done()
    await holder.execute("commit")
    assert await run == REVISIONS[2:]
    assert await writer.fetchval("select version from pgstate.put('k', '1')") == 4


@pytest.mark.thorough
@pytest.mark.core
async def test_running_writers_of_an_application_with_schema_roles_and_event_triggers(
    empty: Callable[[], Database], opened: Open
) -> None:
    database = empty()
    database.sql(
        """
        create schema shop;
        create table shop.orders (id int generated always as identity primary key, state_key text);
        create table shop.ddl (at timestamptz default clock_timestamp(), tag text, object text);
        create function shop.log_ddl() returns event_trigger language plpgsql security definer
          set search_path = shop, pg_catalog, pg_temp
        as $$ begin insert into ddl (tag, object) select command_tag, object_identity from pg_event_trigger_ddl_commands(); end $$;
        create event trigger log_ddl on ddl_command_end execute function shop.log_ddl();
        grant all on schema shop to installer; grant all on all tables in schema shop to installer;
        """
    )
    before = dump(database, "--schema=shop")
    address, stop = database.dsn(), asyncio.Event()
    await migrate.upgrade_async(address, "0001")
    written: dict[int, list[int]] = {}

    async def write(number: int) -> None:
        connection = await opened(database)
        versions = written.setdefault(number, [])
        while not stop.is_set():
            # what a client does with a lost race or a function that was replaced under it: again
            with contextlib.suppress(
                asyncpg.DeadlockDetectedError,
                asyncpg.UndefinedFunctionError,
                asyncpg.UndefinedColumnError,
                asyncpg.DatatypeMismatchError,
                asyncpg.InternalServerError,
                asyncpg.InvalidCachedStatementError,
            ):
                async with connection.transaction():
                    await connection.execute("insert into shop.orders (state_key) values ($1)", f"orders/{number}")
                    version = await connection.fetchval("select version from pgstate.put($1, '1')", f"orders/{number}")
                versions.append(version)

    async def more(than: int) -> None:
        while not stop.is_set() and min((len(versions) for versions in written.values()), default=0) <= than:
            await asyncio.sleep(0.002)

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(write(number))
        try:
            await more(3)
            for to in REVISIONS[1:]:
                assert await migrate.upgrade_async(address, to) == [to]
                await more(max(len(versions) for versions in written.values()) + 3)
            assert await asyncio.to_thread(migrate.downgrade_dsn, address, "0002", data_loss=True) == REVISIONS[:1:-1]
            await more(max(len(versions) for versions in written.values()) + 3)
        finally:
            stop.set()
    # acknowledged versions are there, each once, and with them the orders that were written beside
    for number, versions in written.items():
        assert versions == list(range(1, len(versions) + 1))
        assert database.sql(f"select count(*) from shop.orders where state_key = 'orders/{number}'") == [
            (len(versions),)
        ]
        assert database.sql(f"select count(*), max(version) from pgstate.version where key = 'orders/{number}'") == [
            (len(versions), len(versions))
        ]
    assert dump(database, "--schema=shop") == before
    assert database.sql("select count(*) > 100 from shop.ddl where object like 'pgstate.%'") == [(True,)]


def test_an_event_trigger_that_lacks_rights_is_named(empty: Callable[[], Database]) -> None:
    database = empty()
    database.sql(
        """
        create table public.ddl (tag text);
        create function public.log_ddl() returns event_trigger language plpgsql
          as $$ begin insert into public.ddl values (tg_tag); end $$;
        create event trigger log_ddl on ddl_command_end execute function public.log_ddl();
        grant all on public.ddl to installer;
        """
    )
    before = dump(database)
    with pytest.raises(
        errors.AccessDenied,
        match=r"denied for table ddl, in function public\.log_ddl\(\): an event trigger must be SECURITY DEFINER",
    ):
        migrate.upgrade_dsn(database.dsn())
    assert dump(database) == before


@pytest.mark.core
async def test_a_migration_whose_backend_or_client_dies_leaves_nothing(
    empty: Callable[[], Database], opened: Open
) -> None:
    """Killed where it has changed most: all code is cleared and all tables are altered when it meets a lock of ours."""
    database = empty()
    await migrate.upgrade_async(database.dsn(), "0001")
    await (await opened(database)).execute("select pgstate.put('k', '1')")
    # 0003's code is made after 0002's: an event trigger holds it up in the middle
    database.sql(
        """
        create table public.gate (id int); grant all on public.gate to public;
        create function public.hold_up() returns event_trigger language plpgsql security definer set search_path = pg_catalog, pg_temp
        as $$ begin if to_regtype('pgstate.past_row') is not null and to_regprocedure('pgstate.set_login(text, text)') is not null
                then lock table public.gate in access exclusive mode; end if; end $$;
        create event trigger hold_up on ddl_command_end execute function public.hold_up();
        """
    )
    before = dump(database)
    holder, watcher = await opened(database, SUPERUSER), await opened(database, SUPERUSER)
    await holder.execute("begin; lock table public.gate in access share mode")
    command = (
        sys.executable,
        "-c",
        "import sys; from pgstate import migrate; migrate.upgrade_dsn(sys.argv[1])",
        database.dsn(),
    )

    for way in ("backend", "client"):
        client = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
        pid = await wait_for(watcher, WAITING)
        assert isinstance(pid, int)
        await wait_until_blocked(watcher, pid)
        if way == "backend":
            await watcher.execute(f"select pg_terminate_backend({pid})")
            _, said = await client.communicate()
            assert client.returncode == 1
            assert b"pgstate.errors.Unreachable: the connection was lost in the middle" in said
            assert b"All is done or nothing" in said
        else:
            os.kill(client.pid, signal.SIGKILL)
            await client.communicate()
            # the server finds out when it answers
            await holder.execute("rollback")
        await wait_until_gone(watcher, pid)
        assert dump(database) == before
        assert await watcher.fetchval("select version_num from pgstate.alembic_version") == "0001"
    assert await migrate.upgrade_async(database.dsn()) == REVISIONS[1:]
    assert await (await opened(database)).fetchval("select value::text from pgstate.get('k')") == "1"


async def test_a_connection_that_is_lost_between_two_statements(empty: Callable[[], Database], monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """asyncpg then takes the server's last word for the answer to the next one: no test can time that."""

    async def answered(*_arguments: object, **_options: object) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")

    for method in ("execute", "prepare"):
        monkeypatch.setattr(asyncpg.Connection, method, answered)
        with pytest.raises(errors.Unreachable, match="the connection was lost in the middle: cannot switch to state"):
            await migrate.upgrade_async(empty().dsn())
        monkeypatch.undo()


async def test_an_upgrade_and_a_downgrade_at_once(empty: Callable[[], Database]) -> None:
    """One after the other, whichever comes first: each finds a whole schema."""
    database = empty()
    await migrate.upgrade_async(database.dsn(), "0002")
    async with asyncio.TaskGroup() as group:
        ups = [group.create_task(migrate.upgrade_async(database.dsn())) for _ in range(2)]
        down = group.create_task(asyncio.to_thread(migrate.downgrade_dsn, database.dsn(), "0001", data_loss=True))
    applied = sorted(revision for up in ups for revision in up.result())
    assert down.result() in (["0002"], REVISIONS[:0:-1])
    reached = await asyncio.to_thread(migrate.current_dsn, database.dsn())
    later = REVISIONS[2:]
    assert (reached, applied) in [
        ("0001", later),
        (migrate.HEAD, REVISIONS[1:]),
        (migrate.HEAD, sorted([*REVISIONS[1:], *later])),
    ]
