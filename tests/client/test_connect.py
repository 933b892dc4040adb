"""connect(): every form of address, and an error of its own for each thing that can be wrong."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from contextvars import ContextVar
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

import pgstate
from client.conftest import Connect, MakeLogin
from conftest import INSTALLER, Database
from pgstate import State, errors, migrate

OpenConnection = Callable[..., Awaitable[asyncpg.Connection]]


async def works(state: State) -> None:
    assert await state.me() == "admin"
    version = await state.put("k", {"a": [1, None, "x"]})
    assert (await state.get("k")).value == {"a": [1, None, "x"]}  # type: ignore[union-attr]
    assert [entry.version for entry in await state.list("k")] == [version]


def test_a_state_that_nobody_awaited_says_so(dsn: str) -> None:
    connecting: Any = pgstate.connect(dsn)
    with pytest.raises(AttributeError, match=r"no get before it is connected: state = await pgstate.connect\(…\)"):
        connecting.get("k")


async def test_connections_keep_nothing_of_who_opened_them(dsn: str) -> None:
    class Large:
        pass

    large: ContextVar[Large] = ContextVar("large")

    async def caller(state: State) -> weakref.ref[Large]:
        large.set(held := Large())
        await asyncio.gather(works(state), state.list("**"), state.history("k"), state.claim("c", 10), state.agents())
        async with state.watch("**", initial=True) as changes:
            await anext(changes)
        return weakref.ref(held)

    # timers that were cancelled are forgotten when their time comes
    async with pgstate.connect(dsn, timeout=2) as state:
        held = await asyncio.create_task(caller(state))
        async with asyncio.timeout(20):
            while held() is not None:
                gc.collect()
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
async def test_addresses(connect: Connect, dsn: str, scheme: str) -> None:
    await works(await connect(dsn=f"{scheme}://{dsn.partition('://')[2]}"))


async def test_the_address_in_the_environment(monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    monkeypatch.setenv("PGSTATE_DSN", dsn)
    async with pgstate.connect() as state:
        await works(state)


async def test_awaited_or_entered(dsn: str) -> None:
    async with pgstate.connect(dsn) as state:
        await works(state)
    with pytest.raises(errors.Closed):
        await state.get("k")
    state = await pgstate.connect(dsn)
    async with state as same:
        assert same is state
        await works(state)
    with pytest.raises(errors.Closed):
        await state.get("k")
    with pytest.raises(ZeroDivisionError):
        async with pgstate.connect(dsn):
            _ = 1 // 0


@pytest.mark.parametrize("codecs", [False, True])
async def test_a_pool_with_settings_of_its_own(connect: Connect, dsn: str, codecs: bool) -> None:
    async def init(connection: asyncpg.Connection) -> None:
        if codecs:
            for name in ("json", "jsonb"):
                await connection.set_type_codec(name, schema="pg_catalog", encoder=json.dumps, decoder=json.loads)

    async with asyncpg.create_pool(dsn, min_size=1, max_size=4, init=init) as pool:
        state = await connect(pool=pool)
        await works(state)
        async with state.watch("k") as watch:
            arriving = asyncio.ensure_future(anext(watch))
            await asyncio.gather(*(state.merge("n", 1, "add") for _ in range(100)))
            await state.put("k", [1])
            assert (await arriving).value == [1]
        await state.close()
        # the pool is the application's: usable, and with all that it had
        connections = [await pool.acquire() for _ in range(4)]
        for connection in connections:
            assert await connection.fetchval("select pgstate.me()") == "admin"
            assert await connection.fetch("select pg_listening_channels()") == []
            await pool.release(connection)


SETTINGS = {
    "search_path": "app, pg_catalog, public", "application_name": "the application", "statement_timeout": "61000",
    "timezone": "Asia/Tokyo", "datestyle": "German, DMY", "intervalstyle": "iso_8601", "bytea_output": "escape",
    "lock_timeout": "62000", "default_transaction_isolation": "repeatable read", "synchronous_commit": "off",
    "extra_float_digits": "-5", "idle_in_transaction_session_timeout": "63000",
}  # fmt: skip
# names that pgstate's statements use, before the system's
_SHADOWS = """
create schema app;
create function app.date_part(text, timestamptz) returns float language sql as $$ select 1 / 0.0 $$;
create function app.get(text, text) returns text language sql as $$ select 'app' $$;
create function app.pg_current_snapshot() returns text language sql as $$ select 'app' $$;
create table app.entries (key text);
"""


async def busy(state: State) -> None:
    """Everything that uses connections: lone and gathered calls, claims, the past, a watch and its listener."""
    await works(state)
    before = await state.cursor()
    async with state.watch("n") as watch:
        arriving = asyncio.ensure_future(anext(watch))
        async with asyncio.timeout(30):
            await asyncio.gather(
                *(state.merge("n", 1, "add") for _ in range(100)), *(state.get("n") for _ in range(100))
            )
        async with asyncio.timeout(30):
            assert (await arriving).key == "n"
    claim = await state.claim_next("n")
    assert claim is not None and await state.release("n", claim.token)
    assert (await state.list(as_of=before)).cursor and len((await state.changes(before)).changes) == 100
    assert (await state.history("k"))[0].at.utcoffset() is not None
    await state.maintain()


class Row(asyncpg.Record):
    """The application's own."""


@pytest.mark.parametrize("cache", [0, 100], ids=["no statement cache", "statement cache"])
async def test_a_pool_keeps_what_it_has(connect: Connect, database: Database, dsn: str, cache: int) -> None:
    database.sql(_SHADOWS, INSTALLER)
    made: list[asyncpg.Connection] = []
    taken: list[int] = []

    async def init(connection: asyncpg.Connection) -> None:
        made.append(connection)
        for name in ("json", "jsonb"):
            await connection.set_type_codec(
                name, schema="pg_catalog", encoder=json.dumps, decoder=lambda text: f"own {text}"
            )

    async def setup(connection: Any) -> None:
        taken.append(connection.get_server_pid())

    options: dict[str, Any] = {"init": init, "setup": setup, "record_class": Row, "statement_cache_size": cache}
    async with asyncpg.create_pool(dsn, min_size=2, max_size=4, server_settings=SETTINGS, **options) as pool:
        async with pool.acquire() as connection:
            before = await connection.fetch("select name, setting from pg_settings where name !~ '[.]' order by name")
        state = await connect(pool=pool)
        await busy(state)
        await state.close()
        # all at once, and given back before anything is asserted: the pool's end waits for them
        held = [await pool.acquire() for _ in range(4)]
        seen = [
            (
                connection.get_server_pid(),
                await connection.fetch("select name, setting from pg_settings where name !~ '[.]' order by name"),
                await connection.fetchrow("select '[1]'::jsonb as value, current_schema() as schema, get('a', 'b')"),
                await connection.fetch("select from pg_listening_channels()"),
            )
            for connection in held
        ]
        known = {connection.get_server_pid() for connection in made if not connection.is_closed()}
        for connection in held:
            await pool.release(connection)
        for pid, settings, row, channels in seen:
            assert pid in known and pid in taken
            assert settings == before
            assert type(row) is Row and tuple(row) == ("own [1]", "app", "app")
            assert channels == []


async def test_an_engine_keeps_what_it_has(connect: Connect, database: Database, dsn: str) -> None:
    from sqlalchemy import event, text

    database.sql(_SHADOWS, INSTALLER)
    engine = create_async_engine(
        dsn.replace("postgresql://", "postgresql+asyncpg://"),
        pool_size=3,
        max_overflow=0,
        connect_args={"server_settings": SETTINGS},
        json_deserializer=lambda text: f"own {text}",
    )
    seen: list[str] = []
    for name in ("connect", "checkout"):
        event.listen(engine.sync_engine, name, lambda *_, name=name: seen.append(name))
    settings = text("select name, setting from pg_settings where name !~ '[.]' order by name")
    async with engine.connect() as connection:
        before = (await connection.execute(settings)).all()
    state = await connect(engine=engine)
    await busy(state)
    await state.close()
    assert {"connect", "checkout"} <= set(seen)
    async with engine.connect() as one, engine.connect() as two, engine.connect() as three:
        for connection in (one, two, three):
            assert (await connection.execute(settings)).all() == before
            row = (await connection.execute(text("select '[1]'::jsonb, current_schema(), get('a', 'b')"))).one()
            assert tuple(row) == ("own [1]", "app", "app")
            assert (await connection.execute(text("select 1 from pg_listening_channels()"))).all() == []
    await engine.dispose()


async def test_a_pool_that_others_have_emptied(connect: Connect, dsn: str) -> None:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
        state = await connect(pool=pool)
        hasty = state.with_timeout(0.2)
        async with pool.acquire():
            for call in (hasty.get("k"), hasty.put("k", 1), hasty.list(), hasty.cursor(), hasty.claim_next("k")):
                with pytest.raises(errors.Timeout):
                    await call
        await works(state)


async def test_an_engine(connect: Connect, dsn: str) -> None:
    from sqlalchemy import text

    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://"), pool_size=4, max_overflow=0)
    state = await connect(engine=engine)
    await works(state)
    async with state.watch("k") as watch:
        arriving = asyncio.ensure_future(anext(watch))
        await asyncio.gather(*(state.merge("n", 1, "add") for _ in range(100)))
        await state.put("k", [1])
        assert (await arriving).value == [1]
    await state.close()
    async with engine.connect() as one, engine.connect() as two, engine.connect() as three, engine.connect() as four:
        for connection in (one, two, three, four):
            assert (await connection.execute(text("select pgstate.me()"))).scalar_one() == "admin"
    await engine.dispose()


async def test_an_engine_has_its_own_patience_and_hooks(connect: Connect, dsn: str) -> None:
    from sqlalchemy import event

    url = dsn.replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(url, pool_size=4, max_overflow=0, pool_timeout=0.5)
    state = await connect(engine=engine)
    watch = state.watch("k", since=await state.cursor())
    async with AsyncExitStack() as others:
        for _ in range(4):
            await others.enter_async_context(engine.connect())
        following = asyncio.ensure_future(anext(watch))
        calls = (state.get("k"), state.put("k", 1), state.list())
        for done in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(done, errors.Timeout) and "no connection came free" in str(done)
        assert not following.done()
    # what could not be followed meanwhile is followed again
    await state.put("k", 2)
    assert (await following).value == 2
    await watch.aclose()

    def broken(*_: object) -> None:
        raise LookupError("of the application's")

    event.listen(engine.sync_engine, "checkout", broken)
    with pytest.raises(LookupError):
        await state.get("k")
    # and the pulse goes on, for when it has been mended
    await state._core._beat_once(10)
    assert await state._core._maintain() is False
    event.remove(engine.sync_engine, "checkout", broken)
    await works(state)
    await state.close()
    await engine.dispose()


async def test_an_engine_that_others_have_emptied(connect: Connect, dsn: str) -> None:
    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://"), pool_size=1, max_overflow=0)
    state = await connect(engine=engine)
    hasty = state.with_timeout(0.2)
    async with engine.connect():
        for call in (hasty.get("k"), hasty.list()):
            with pytest.raises(errors.Timeout):
                await call
    await works(state)
    await state.close()
    await engine.dispose()


async def test_few_connections_serve_many_callers(connect: Connect) -> None:
    state = await connect(connections=1)
    calls = [state.put(f"k{n}", n) for n in range(50)] + [state.list() for _ in range(10)]  # type: ignore[misc]
    await asyncio.gather(*calls, state.cursor(), *(state.claim(f"k{n}") for n in range(10)))


@pytest.mark.parametrize(
    "given",
    [
        {"dsn": "mysql://host/db"}, {"dsn": "host=localhost dbname"}, {"dsn": "nonsense"},
        {"dsn": "postgresql+psycopg://host/db"}, {"dsn": "postgresql://h/d", "timeout": 0},
        {"dsn": "postgresql://h/d", "timeout": -1}, {"dsn": "postgresql://h/d", "timeout": "soon"},
        {"dsn": "postgresql://h/d", "connections": 0}, {"dsn": "postgresql://h/d", "pool": object()},
        {"pool": object(), "engine": object()}, {"dsn": object()},
    ],
)  # fmt: skip
async def test_arguments_that_make_no_sense(given: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidArgument):
        await pgstate.connect(**given)


async def test_an_engine_of_another_driver() -> None:
    engine = create_async_engine("postgresql+psycopg://host/db")
    with pytest.raises(errors.InvalidArgument, match=r"psycopg.*asyncpg"):
        await pgstate.connect(engine=engine)
    await engine.dispose()


async def test_nobody_answers(database: Database) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        for dsn in (
            f"postgresql://127.0.0.1:{port}/x",
            "postgresql://no-such-host.invalid/x",
            "postgresql://user@/x?host=/no/such/folder",
            database.cluster.dsn("no_such_database", INSTALLER),
        ):
            # one that answers is up
            advice = (
                r'"no_such_database" does not exist\. Is the address right\?$'
                if "no_such_database" in dsn
                else "Is the address right and the server up"
            )
            with pytest.raises(errors.Unreachable, match=advice):
                await pgstate.connect(dsn)


async def test_nobody_answers_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(errors.Unreachable):
            await pgstate.connect(f"postgresql://127.0.0.1:{silent.getsockname()[1]}/x?sslmode=disable", timeout=0.1)


@pytest.fixture
def bare(database: Database) -> Iterator[str]:
    """The address of a database without pgstate."""
    name = database.cluster.create_database(owner=INSTALLER)
    yield database.cluster.dsn(name, INSTALLER)
    database.cluster.drop_database(name)


async def test_a_database_without_it(bare: str) -> None:
    with pytest.raises(errors.SchemaMissing, match="pgstate migrate"):
        await pgstate.connect(bare)


@pytest.mark.parametrize(("revision", "error"), [("0000", errors.SchemaTooOld), ("9999", errors.SchemaTooNew)])
async def test_a_schema_of_another_age(
    database: Database, dsn: str, revision: str, error: type[errors.SchemaError]
) -> None:
    ((definition,),) = database.sql("select pg_get_functiondef('pgstate._install()'::regprocedure)")
    assert f"'{migrate.HEAD}'" in definition
    assert "'0001'" in definition
    newer = definition.replace(f"'{migrate.HEAD}'", f"'{revision}'")
    database.sql(newer.replace("'0001'", f"'{revision}'"))
    with pytest.raises(error, match=revision) as caught:
        await pgstate.connect(dsn)
    assert migrate.HEAD in str(caught.value)


async def test_a_newer_schema_serves_this_client_while_it_says_so(database: Database, dsn: str) -> None:
    """What a rolling upgrade needs: the database first, then one client after the other."""
    ((definition,),) = database.sql("select pg_get_functiondef('pgstate._install()'::regprocedure)")
    database.sql(definition.replace(f"'{migrate.HEAD}'", "'9999'").replace("'0001'", f"'{migrate.HEAD}'"))
    async with pgstate.connect(dsn) as state:
        info = await state.info()
        assert (info.revision, info.serves) == ("9999", migrate.HEAD)
        assert await state.put("k", 1) == 1


async def test_a_schema_from_before_it_was_told_whom_it_serves(bare: str) -> None:
    await migrate.upgrade_async(bare, "0002")
    with pytest.raises(errors.SchemaTooOld, match=f"0002, this client needs {migrate.HEAD}: run pgstate migrate"):
        await pgstate.connect(bare)


async def test_a_schema_that_vanishes_while_in_use(state: State, database: Database) -> None:
    database.sql("alter schema pgstate rename to elsewhere")
    calls = [
        state.get("k"),
        state.put("k", 1),
        state.list(),
        state.claim_next("k"),
        *(state.put(f"k{n}", 1) for n in range(5)),
    ]
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, errors.SchemaMissing)


async def test_a_login_that_nobody_registered(
    connect: Connect, database: Database, login_name: Callable[[str], str]
) -> None:
    stranger = login_name("stranger")
    database.sql(f'create role "{stranger}" login')
    with pytest.raises(errors.AccessDenied, match="not registered"):
        await connect(stranger)
    # a member of the role, as a leftover of a removed registration would be
    database.sql(f'grant pgstate_agent to "{stranger}"')
    with pytest.raises(errors.AccessDenied):
        await connect(stranger)


async def test_a_gateway_names_who_acts(
    connect: Connect, gateway: Connect, make_agent: MakeLogin, login_name: Callable[[str], str]
) -> None:
    for name in ("alice", "bob", "carol"):
        await make_agent(name, "read shared/**", "write shared/**")
    nobody = await gateway("alice", "bob")
    assert await nobody.me() is None
    for call in (
        nobody.get("shared/x"),
        nobody.put("shared/x", 1),
        nobody.list(),
        nobody.claim_next("shared/*"),
        nobody.cursor(),
        nobody.history("shared/x"),
    ):
        with pytest.raises(errors.AccessDenied):
            await call
    with pytest.raises(errors.AccessDenied, match="as_agent"):
        nobody.watch()
    for name in ("alice", "bob"):
        view = nobody.as_agent(name)
        assert await view.me() == name
        await view.put("shared/x", name)
        entry = await view.get("shared/x")
        assert entry is not None and entry.writer == name and entry.via.startswith("gateway_")
    for name in ("carol", "admin", "unknown", "no name"):
        for call in (
            nobody.as_agent(name).get("shared/x"),
            nobody.as_agent(name).me(),
            nobody.as_agent(name).put("shared/x", 1),
        ):
            with pytest.raises(errors.AccessDenied):
                await call


async def test_the_agent_of_all_calls(
    connect: Connect, dsn: str, make_agent: MakeLogin, login_name: Callable[[str], str]
) -> None:
    own = await make_agent("alice", login=True)
    await make_agent("bob")
    assert await (await connect(agent="bob")).me() == "bob"
    assert await (await connect(own, agent="alice")).me() == "alice"
    for login, name in ((INSTALLER, "unknown"), (own, "bob"), (own, "admin")):
        with pytest.raises(errors.AccessDenied):
            await connect(login, agent=name)


async def test_info(state: State) -> None:
    info = await state.info()
    assert (info.revision, info.agent, info.login) == (migrate.HEAD, "admin", INSTALLER)
    assert (info.value_limit, info.epoch) == (1 << 20, 1)
