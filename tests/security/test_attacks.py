"""The attacks of an agent with a login of its own and any SQL, against a schema that no superuser installed.

What a refused call says, and who may grant and delegate, is in sql/test_access.py; claims are in sql/test_claims.py;
that no function can forget its checks is in test_catalogue.py.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from _server import SUPERUSER
from _sync import wait_until_blocked
from sql._caller import Caller, MakeAgent, refused, seconds

SECRET = "hid/s3cr3t-name"
_BLOCKS = ("Shared Hit Blocks", "Shared Read Blocks", "Shared Dirtied Blocks", "Actual Rows")


@pytest.fixture
async def victim(root: Caller) -> Caller:
    await root.rows("put_many", [SECRET, "hid/claimed", "a/b-secret", "a/x"], ["s3cr3t-value"] * 4)
    await root("claim", "hid/claimed", seconds(600))
    return root


@pytest.fixture
async def mallory(victim: Caller, attacker: MakeAgent) -> Caller:
    return await attacker("mallory", "read a/b/**", "write a/b/**", "read ro/**", "write wo/**")


async def _refused(caller: Caller, *statements: str, codes: tuple[str, ...] = ("42501",)) -> None:
    for statement in statements:
        with pytest.raises(asyncpg.PostgresError) as caught:
            await caller.execute(statement)
            pytest.fail(f"not refused: {statement}")
        assert caught.value.sqlstate in codes, f"{statement}: {caught.value.sqlstate} {caught.value}"
        assert "s3cr3t" not in str(caught.value).replace(statement, "")


@pytest.mark.every_version
async def test_01_13_15_no_relation_is_reached_and_nothing_made_or_changed(mallory: Caller) -> None:
    relations = await mallory.fetch(
        "select c.oid::regclass::text as name, c.relkind::text as kind from pg_class c join pg_namespace n"
        "    on n.oid = c.relnamespace where n.nspname = 'pgstate' and c.relkind in ('r', 'v', 'S')"
    )
    assert len(relations) > 15
    for relation in relations:
        name = relation["name"]
        await _refused(mallory, f"select from {name}", f"explain select from {name}", f"copy {name} to stdout")
        if relation["kind"] == "S":
            await _refused(mallory, f"select nextval('{name}')", f"select setval('{name}', 1)")
            continue
        await _refused(mallory, f"table {name}", f"select count(*) from {name}")
        if relation["kind"] == "r":
            await _refused(
                mallory, f"truncate {name}", f"drop table {name}", f"alter table {name} disable trigger all",
                f"alter table {name} disable row level security", f"create index on {name} ((1))",
                f"create trigger t after insert on {name} execute function pgstate._on_version()",
                f"create policy p on {name} using (true)", f"delete from {name}", f"insert into {name} default values",
            )  # fmt: skip
    await _refused(
        mallory,
        "create table pgstate.t ()",
        "create table public.t ()",
        "create function pgstate.f() returns int language sql as 'select 1'",
        "create function public.f() returns int language sql as 'select 1'",
        "create type pgstate.t as enum ()",
        "create view pgstate.v as select 1",
        "create operator pgstate.|| (function = int4pl, leftarg = int4, rightarg = int4)",
        "create schema mine",
        "create schema authorization current_user",
        "create role eve",
        "create database mine",
        "create event trigger e on ddl_command_end execute function pgstate._on_version()",
        "drop function pgstate.me(text)",
        "drop schema pgstate cascade",
        "alter function pgstate.me(text) security invoker",
        "create or replace function pgstate._now() returns timestamptz language sql as 'select now()'",
        "do $$ begin perform pgstate._now(); end $$",
        "grant pgstate_owner to current_user",
        "grant execute on function pgstate._now() to public",
        "alter role current_user createrole",
        "alter role installer login",
        "reassign owned by pgstate_owner to current_user",
    )


@pytest.mark.every_version
async def test_10_17_nobody_becomes_somebody_else(mallory: Caller) -> None:
    login = await mallory.fetchval("select session_user::text")
    for role in ("pgstate_owner", "pgstate_api", "pgstate_reader", "installer", SUPERUSER):
        become = f"select set_config('role', '{role}', false)"
        await _refused(mallory, f"set role {role}", f"set session authorization {role}", become)
    for role in ("pgstate_agent", "none"):
        await mallory.execute(f"set role {role}")
        assert await mallory("me") == "mallory"
    await _refused(mallory, "set session_replication_role = replica", "load 'x'", codes=("42501", "58P01"))
    await mallory.execute("reset role; set row_security = off")
    for call in ("list()", "put('a/b/x', '1')", f"get_many(array['{SECRET}', 'a/b/x'])"):
        await _refused(mallory, f"select pgstate.{call}")
    await mallory.execute("reset row_security")
    await mallory("put", "a/b/x", 1)
    (version,) = await mallory.rows("history", "a/b/x")
    assert (version["writer"], version["via"]) == ("mallory", login)


_TRAPS = """
create temp table entry (key text, live boolean, value jsonb);
create temp table version (key text);
create temp table login (login text, agent_id int, gateway boolean, root boolean);
insert into pg_temp.login values (session_user, 1, false, true);
create temp view _acting as select 1 as agent_id;
create function pg_temp.trap(text) returns text language plpgsql as 'begin raise exception ''ran''; end';
create function pg_temp.lower(text) returns text language plpgsql as 'begin raise exception ''ran''; end';
create function pg_temp.cardinality(text[]) returns int language plpgsql as 'begin raise exception ''ran''; end';
create function pg_temp.format(text, text) returns text language plpgsql as 'begin raise exception ''ran''; end';
create function pg_temp.octet_length(text) returns int language plpgsql as 'begin raise exception ''ran''; end';
create function pg_temp.alike(text, text) returns boolean language plpgsql as 'begin raise exception ''ran''; end';
create operator pg_temp.= (function = pg_temp.alike, leftarg = text, rightarg = text);
create operator pg_temp.~ (function = pg_temp.alike, leftarg = text, rightarg = text);
create operator pg_temp.<> (function = pg_temp.alike, leftarg = text, rightarg = text);
"""


@pytest.mark.every_version
async def test_16_shadowing_names_has_no_effect(mallory: Caller, victim: Caller) -> None:
    await mallory.execute(_TRAPS)
    await _refused(mallory, "select pg_temp.trap('')", codes=("P0001",))
    for number, path in enumerate(("pg_temp, pg_catalog", "pg_temp, pgstate, pg_catalog", "pgstate, pg_temp")):
        await mallory.execute(f"set search_path = {path}")
        key = f"a/b/{number}"
        for call, answer in (
            ("pgstate.me()", "mallory"),
            (f"pgstate.put('{key}', '1')", "(ok,1,)"),
            (f"pgstate.put('{key}', '1', 0)", "(conflict,1,1)"),
            (f"pgstate.merge('{key}', '1', 'add')", "(ok,2,)"),
            (f"pgstate.put_many(array['{key}'], array['1']::jsonb[])", "(1,ok,3,,,,)"),
            (f"(pgstate.get('{key}')).status", "ok"),
            (f"(pgstate.list('{key}')).key", key),
            (f"(pgstate.history('{key}', 1)).writer", "mallory"),
            (f"(pgstate.claim_next('{key}*', '60 s')).key", key),
            ("(pgstate.changes(pgstate.cursor())).op", "bookmark"),
            (f"pgstate.key('{key}', 'b c')", f"a%2Fb%2F{number}/b%20c"),
        ):
            assert await mallory.fetchval(f"select ({call})::pg_catalog.text") == answer, (path, call)
        await _refused(
            mallory, f"select pgstate.get('{SECRET}')", f"select pgstate.put('{SECRET}', '1')",
            "select pgstate.list('hid/**')", "select pgstate.create_agent('eve')", codes=("PS010",),
        )  # fmt: skip
    assert {v["writer"] for v in await victim.rows("history", SECRET)} == {"admin"}


@pytest.mark.every_version
async def test_07_08_09_only_granted_keys_come_out_of_any_pattern(mallory: Caller, victim: Caller) -> None:
    await mallory("put", "a/b/x", 1)
    for pattern in ("", "**", "*/*/*", "a/**", "**/x", "a/b*", "a/b/**", "a/b*/**", "?/b/x", "**/**", "a/*/x"):
        keys = {r["key"] for r in await mallory.rows("list", pattern)}
        assert keys <= {"a/b/x"}, pattern
    for pattern in ("hid/**", "a/b-secret", "a/b-*", SECRET, "hid*"):
        await mallory.refuses("PS010", f"list('{pattern}')", f"changes(pgstate.cursor(), array['{pattern}'])")
    await mallory.refuses("PS010", "get('a/b-secret')", "get('a')", "put('a/b-secret', '1')", "put('a/c', '1')")
    for key in (
        "a/../b",
        "a//b",
        "/a",
        "a/",
        "%00/..",
        "a/b\t",
        "\u0430/b",
        "a/b\u200b",
        "a/b/*",
        "a\\b",
        "a/./b",
        " a",
    ):
        for function in ("get", "history", "delete"):
            with refused("PS001"):
                await mallory.rows(function, key)
        with refused("PS001"):
            await mallory("put", key, 1)
    for pattern in ("a/../b", "a//b", "%00/..", "\u0430/*", "a/b**", "a|b", "a/(b)", "[a-z]*", "a/b$"):
        with refused("PS002"):
            await mallory.rows("list", pattern)
    # what is refused leaves nothing behind
    before = await victim.rows("list")
    await mallory.rows("put_many", [SECRET, "hid/new", "a/b-new", "a"], [1] * 4)
    assert await victim.rows("list") == before
    assert len(await victim.rows("history", SECRET)) == 1
    assert await victim.rows("history", "hid/new") == []


async def _explained(caller: Caller, call: str) -> str:
    """What EXPLAIN ANALYZE shows except times: of the second call, or what its error says."""
    for _ in range(2):
        try:
            text = await caller.fetchval(
                f"explain (analyze, buffers, format json, timing off, summary off) select * from pgstate.{call}"
            )
        except asyncpg.PostgresError as error:
            return str((error.sqlstate, error.message, error.detail, error.hint))
    plan = json.loads(text)[0]["Plan"]
    return str({name: plan.get(name) for name in _BLOCKS})


@pytest.mark.every_version
async def test_03_explain_shows_no_difference_between_hidden_and_missing(mallory: Caller, victim: Caller) -> None:
    await victim.rows("put_many", [f"hid/{n:04}" for n in range(1000)], ["v"] * 1000)
    await victim.rows("put_many", ["ro/there", "wo/there"], ["v"] * 2)
    for call in (
        "get('{}')", "history('{}')", "put('{}', '1')", "delete('{}')", "claim('{}', '1 s')",
        "get_many(array['{}'])", "put_many(array['{}'], array['1']::jsonb[])", "delete_many(array['{}'])",
        "merge_many(array['{}'], array['1']::jsonb[], array['add'])", "list('{}')", "list('{}/**')", "list('hid/{}*')",
    ):  # fmt: skip
        hidden, missing = [await _explained(mallory, call.format(key)) for key in ("hid/0500", "nil/0500")]
        assert hidden == missing, call
    for call in ("put('{}', '1', 0)", "put('{}', '1', 1)", "get('{}')", "complete('{}', 1)", "claim('{}', '1 s')"):
        there, missing = [await _explained(mallory, call.format(key)) for key in ("wo/there", "wo/none")]
        assert there == missing, call
    everything = await _explained(mallory, "list('**')")
    await victim.rows("delete_many", [f"hid/{n:04}" for n in range(1000)])
    assert await _explained(mallory, "list('**')") == everything


async def test_18_19_the_catalogue_and_the_statistics_name_nothing(mallory: Caller, session: MakeAgent) -> None:
    superuser = await session(SUPERUSER)
    await superuser.execute("analyze")
    assert await mallory.fetch("select from pg_stats where schemaname = 'pgstate'") == []
    assert await mallory.fetch("select from pg_stats_ext where schemaname = 'pgstate'") == []
    await _refused(mallory, "select from pg_statistic", "select from pg_authid")
    for catalogue in ("pg_class", "pg_proc", "pg_policy", "pg_description", "pg_db_role_setting", "pg_settings"):
        rows = await mallory.fetch(f"select c::text as text from {catalogue} c")
        assert not [r["text"] for r in rows if "s3cr3t" in r["text"]]


@pytest.mark.every_version
async def test_20_others_at_work_show_no_key_and_no_query(mallory: Caller, victim: Caller, session: MakeAgent) -> None:
    waiting = await session()
    transaction = victim.transaction()
    await transaction.start()
    await victim.execute(f"select pgstate.put('{SECRET}', '1')")
    task = asyncio.ensure_future(waiting.fetch(f"select * from pgstate.put('{SECRET}', '2')"))
    await wait_until_blocked(mallory.connection, waiting.pid)
    shown = await mallory.fetch("select to_jsonb(a)::text as text from pg_stat_activity a")
    locks = await mallory.fetch("select locktype, to_jsonb(l)::text as text from pg_locks l")
    assert not [r["text"] for r in [*shown, *locks] if "s3cr3t" in r["text"]]
    assert "advisory" not in {r["locktype"] for r in locks}
    await transaction.rollback()
    await task


@pytest.mark.every_version
async def test_21_22_23_wake_ups_tell_their_own_watcher_only_that_there_is_news(
    mallory: Caller, victim: Caller, session: MakeAgent, agent: MakeAgent
) -> None:
    alice = await agent("alice", "read hid/**")
    heard: list[tuple[str, str, str]] = []

    async def listen(caller: Caller, name: str, channel: str) -> None:
        await caller.connection.add_listener(
            channel, lambda _connection, _pid, where, payload: heard.append((name, where, payload))
        )

    async def flush(*callers: Caller) -> list[tuple[str, str, str]]:
        """What has been heard: a session hears its own notification after all that were committed before it."""
        for caller in callers:
            marked = asyncio.Event()

            def mark(*_: Any, marked: asyncio.Event = marked) -> None:
                marked.set()

            await caller.connection.add_listener("mark", mark)
            await caller.execute("notify mark")
            await marked.wait()
            await caller.connection.remove_listener("mark", mark)
        found = list(heard)
        heard.clear()
        return found

    channel = await alice("subscribe", ["alice"], ["hid/**"])
    own = await mallory("subscribe", ["mallory"], ["**"])
    await listen(alice, "alice", channel)
    await listen(mallory, "mallory", own)
    for guess in ("pgstate", "pgstate_wake", "hid", SECRET, "alice", "version", "entry"):
        await listen(mallory, "mallory", guess)
    assert len({channel, own, await alice("subscribe", ["alice"], ["hid/**"])}) == 3
    await victim("put", SECRET, 2)
    assert await flush(alice, mallory) == [("alice", channel, "")]
    await victim("put", "a/b/news", 1)
    assert await flush(alice, mallory) == [("mallory", own, "")]
    # another's channel cannot be taken over or ended, and no watch is had for somebody else
    await mallory.refuses(
        "PS010", f"subscribe(array['mallory'], array['**'], '{channel}')", "subscribe(array['alice'], array['**'])",
        "subscribe(array['alice', 'mallory'], array['**', '**'])", "subscribe(array[null], array['**'])",
        "subscribe(array[''], array['**'])", "subscribe(array['mallory alice'], array['**'])",
        "subscribe(array['mallory', null], array['**', '**'])",
    )  # fmt: skip
    await mallory("unsubscribe", channel)
    # a hidden prefix: the registration hears nothing of it, and reading is denied
    hidden = await mallory("subscribe", ["mallory"], ["a/b/**"])
    await listen(mallory, "mallory", hidden)
    await victim("put", SECRET, 3)
    assert await flush(alice, mallory) == [("alice", channel, "")]
    # a wake-up for keys that are not the forger's to write reaches nobody, and tells the forger nothing
    assert await mallory("wake", [SECRET]) == await mallory("wake", ["nil"])
    assert await flush(alice, mallory) == []
    # after the revoke the channel is silent
    await victim("revoke_access", "alice", "hid/**", "read")
    await victim("put", SECRET, 4)
    assert await flush(alice, mallory) == []
    await alice.refuses("PS010", "changes(pgstate.cursor(), array['hid/**'])")


@pytest.mark.every_version
async def test_28_what_every_write_looks_through_stays_small(
    mallory: Caller, victim: Caller, session: MakeAgent
) -> None:
    """Registrations for wake-ups: a login has 500 at most, under channels of its own making too, and none is long."""
    admin = await session(SUPERUSER)
    with refused("PS007"):
        await mallory.fetch(
            "select pgstate.subscribe(array['mallory'], array['a/b/**'], 'pgstate_' || md5(n::text)) from generate_series(1, 600) n"
        )
    assert await admin.fetchval("select count(*) from pgstate.watcher") == 0
    keys = [f"a/b/{number:04}" for number in range(1000)]
    channel = await mallory("subscribe", ["mallory"] * len(keys), keys)
    assert await admin.fetchval("select octet_length(ranges::text) from pgstate.watcher") < 100
    assert await mallory("subscribe", ["mallory"] * len(keys), keys, channel) == channel
    heard = asyncio.Event()
    await mallory.connection.add_listener(channel, lambda *_: heard.set())
    await victim("put", keys[500], 1)
    async with asyncio.timeout(20):
        while not heard.is_set():
            await mallory.execute("select")


@pytest.mark.every_version
async def test_24_somebody_elses_cursor_delivers_what_one_may_read_oneself(mallory: Caller, victim: Caller) -> None:
    start = await victim("cursor")
    await victim.rows("put_many", ["hid/1", "a/b/1", "hid/2", "hid/3"], [1] * 4)
    await victim("delete", "hid/1")
    beginning = start.rsplit(".", 1)[0] + ".3:3:"
    page = [r["cursor"] for r in await victim.rows("changes", start, [""], 2)]
    for cursor in (start, beginning, *page):
        rows = await mallory.rows("changes", cursor)
        assert {r["key"] for r in rows} <= {"a/b/1", None}
        assert "s3cr3t" not in str(rows)
    # tokens and leases that nobody gave out
    await mallory("claim", "a/b/1", seconds(60))
    for token in (0, -1, 1, 2**62):
        assert (await mallory("put", "a/b/1", 2, token=token))["status"] == "stale"
        assert (await mallory("renew", "a/b/1", token, seconds(60)))["status"] == "stale"
        assert (await mallory("complete", "a/b/1", token))["status"] == "stale"
    for lease in ("'-1 s'", "'0'", "null", "'1000 years'"):
        await mallory.refuses("PS007", f"claim('a/b/1', {lease})", f"claim_next('a/b/*', {lease})")


@pytest.mark.every_version
async def test_29_two_agents_interleaved_on_one_connection_of_a_gateway(
    victim: Caller, agent: MakeAgent, gateway: MakeAgent, session: MakeAgent
) -> None:
    names = ("alice", "bob")
    for name in names:
        await agent(name, f"read {name}/**", f"write {name}/**")
        await victim("put", f"{name}/x", name)
    both = await gateway(*names)
    await both.execute("set plan_cache_mode = force_generic_plan")
    prepare = both.connection.prepare
    me = await prepare("select pgstate.me($1)")
    get = await prepare("select (pgstate.get($1 || '/x', $1)).value")
    put = await prepare("select (pgstate.put($1 || '/x', $2, agent => $1)).status")
    for step in range(12):
        name, other = names[step % 2], names[1 - step % 2]
        assert await me.fetchval(name) == name
        assert await get.fetchval(name) == name
        assert await put.fetchval(name, name) == "ok"
        assert [r["key"] for r in await both.rows("list", agent=name)] == [f"{name}/x"]
        transaction = both.transaction()
        await transaction.start()
        await both.execute("select set_config('pgstate.agent', $1, true)", name)
        with refused("PS010"):
            async with both.transaction():
                await both("put", f"{other}/x", "stolen", agent=name)
        with refused("PS003"):
            async with both.transaction():
                await both("put", f"{other}/x", None, agent=other)
        assert (await both("me"), await both("me", other), await both("me")) == (name, other, name)
        await (transaction.commit() if step % 3 else transaction.rollback())
        await both.refuses("PS010", "me()", "list()")
    # cancelled while it waits, inside a transaction and outside
    blocker = victim.transaction()
    await blocker.start()
    await victim("put", "alice/x", "alice")
    superuser = await session(SUPERUSER)
    for inside in (True, False):
        outer = both.transaction()
        if inside:
            await outer.start()
        call = asyncio.ensure_future(_in_savepoint(both, inside))
        await wait_until_blocked(superuser.connection, both.pid)
        assert await superuser.fetchval("select pg_cancel_backend($1)", both.pid)
        with pytest.raises(asyncpg.QueryCanceledError):
            await call
        with refused("PS010"):
            async with both.transaction():
                await both("me")
        with refused("PS010"):
            async with both.transaction():
                await both("get", "alice/x", agent="bob")
        assert (await both("get", "bob/x", agent="bob"))["value"] == "bob"
        if inside:
            await outer.rollback()
    await blocker.rollback()


async def _in_savepoint(caller: Caller, inside: bool) -> None:
    if not inside:
        await caller("put", "alice/x", "late", agent="alice")
        return
    async with caller.transaction():
        await caller("put", "alice/x", "late", agent="alice")


@pytest.mark.every_version
async def test_22_a_registration_kept_locked_does_not_outlast_a_revocation(root: Caller, agent: MakeAgent) -> None:
    """Revoking passes locked registrations by, so that nobody holds up their own; who is woken is decided by the rights
    of the moment, by a lone write of a client too."""
    spy = await agent("spy", "read s/**")
    channel = await spy.fetchval("select pgstate.subscribe(array['spy'], array['s/**'])")
    lane = uuid4()
    call = (
        "call pgstate.write_and_wake('put', 's/1', '1', null, null, null, null, null, null, null, null, null, $1, $2,"
        " null, null, null, null, null, null, null, null)"
    )
    assert (await root.fetch(call, lane, 1))[0]["watched"] is True
    async with spy.transaction():
        await spy.fetchval("select pgstate.subscribe(array['spy'], array['s/**'], $1)", channel)
        await root("revoke_access", "spy", "s/**", "read")
        assert (await root.fetch(call, lane, 2))[0]["watched"] is False
        assert await root.fetchval("select pgstate.wake_lane($1)", lane) is False
    assert (await root.fetch(call, lane, 3))[0]["watched"] is False
