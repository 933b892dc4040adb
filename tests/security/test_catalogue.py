"""The lint: what must hold for every object of the schema, read from the catalogue so that a new object is covered too.

The last test shows that the policies bind the functions themselves: one of pgstate_api's that checks nothing.
"""

from __future__ import annotations

import re
from typing import Any

import asyncpg
import pytest

from conftest import Database
from pgstate.errors import BY_SQLSTATE
from sql._caller import Caller, MakeAgent, refused, seconds

ROLES = ("pgstate_owner", "pgstate_api", "pgstate_agent", "pgstate_reader")
# What create_agent() and its like call, which run as their caller to make roles; these check admin themselves.
OWNERS_FOR_AGENTS = {"_add_agent", "_add_gateway", "_harden_plan", "_set_login"}
# Agents may execute nothing else that starts with _: one runs as its caller, the other computes for matches(), which does.
INTERNAL_FOR_AGENTS = OWNERS_FOR_AGENTS | {"_ensure_login", "_filter_path"}
FEED = {"cursor", "changes", "changes_for", "list", "get_as_of", "list_as_of", "_rollback_plan"}
IN_SCHEMA = "relnamespace = 'pgstate'::regnamespace"
RELATIONS = f"pg_class where {IN_SCHEMA} and relkind in ('r', 'p', 'v', 'm')"
# Alembic's own table holds a revision number and nobody's data.
TABLES = f"pg_class where {IN_SCHEMA} and relkind in ('r', 'p') and relname <> 'alembic_version'"
# The constructors of a range type come with it: pure, and the superuser's, who alone could revoke them.
FUNCTIONS = "pg_proc p where p.pronamespace = 'pgstate'::regnamespace and p.prosrc !~ '^(multi)?range_constructor'"


def _names(rows: list[tuple[Any, ...]]) -> list[str]:
    return [row[0] for row in rows]


def _functions(database: Database) -> list[dict[str, Any]]:
    columns = ("name", "shown", "owner", "definer", "volatile", "source", "config", "agents")
    rows = database.sql(
        "select p.proname, p.oid::regprocedure::text, p.proowner::regrole::text, p.prosecdef, p.provolatile::text,"
        "       p.prosrc, coalesce(p.proconfig, '{}'), has_function_privilege('pgstate_agent', p.oid, 'execute')"
        f" from {FUNCTIONS}"
    )
    assert len(rows) > 50
    return [dict(zip(columns, row, strict=True)) for row in rows]


@pytest.mark.one_database
@pytest.mark.every_version
@pytest.mark.parametrize(
    "objects",
    [
        f"relname, relacl, case relkind when 'S' then 's' else 'r' end, relowner from pg_class where {IN_SCHEMA}",
        f"p.oid::regprocedure::text, p.proacl, 'f', p.proowner from {FUNCTIONS}",
        "nspname, nspacl, 'n', nspowner from pg_namespace where nspname = 'pgstate'",
        # arrays and multiranges have the rights of their elements, the row type of a table is nothing without the table
        "typname, typacl, 'T', typowner from pg_type where typnamespace = 'pgstate'::regnamespace and typelem = 0"
        " and typtype <> 'm' and not exists (select from pg_class c where c.oid = typrelid and c.relkind <> 'c')",
        f"relname, attacl, 'c', relowner from pg_class c join pg_attribute on attrelid = c.oid where {IN_SCHEMA}",
    ],
    ids=["relations", "functions", "schema", "types", "columns"],
)
def test_nothing_is_public(database: Database, objects: str) -> None:
    assert database.sql(f"select count(*) from (select {objects}) o") > [(0,)]
    public = (
        f"select distinct o.name from (select {objects}) o (name, acl, kind, owner),"
        ' aclexplode(coalesce(o.acl, acldefault(o.kind::"char", o.owner))) a where a.grantee = 0'
    )
    assert _names(database.sql(public)) == []


@pytest.mark.one_database
@pytest.mark.every_version
def test_row_level_security_is_on_for_every_table(database: Database) -> None:
    assert database.sql(f"select count(*) from {TABLES}") >= [(23,)]
    assert database.sql(f"select relname from {TABLES} and not relrowsecurity") == []
    # forced it would bind the owner's expiry, and break dumps and restores
    assert database.sql(f"select relname from {TABLES} and relforcerowsecurity") == []
    # a view without security_invoker reads as its owner, whom no policy binds: one does, for the policies, and shows
    # nothing but what the session's own login reaches
    roles = ("pgstate_api", "pgstate_agent", "pgstate_reader")
    reached = " or ".join(f"has_table_privilege('{role}', oid, 'select')" for role in roles)
    unbound = (
        f"select relname from {RELATIONS} and relkind in ('v', 'm') and ({reached})"
        " and not coalesce(reloptions @> array['security_invoker=true'], false)"
    )
    assert database.sql(unbound) == [("_acting_reach",)]
    bound = database.sql("select distinct r::regrole::text from pg_policy, unnest(polroles) r")
    assert sorted(_names(bound)) == ["pgstate_api", "pgstate_reader"]


@pytest.mark.one_database
@pytest.mark.every_version
def test_agents_and_readers_reach_functions_and_views_only(database: Database) -> None:
    for role, allowed in (("pgstate_agent", set()), ("pgstate_reader", {"select"})):
        for right in ("select", "insert", "update", "delete", "truncate", "references", "trigger"):
            reached = database.sql(f"select relname from {RELATIONS} and has_table_privilege('{role}', oid, '{right}')")
            assert bool(reached) == (right in allowed), (role, right, reached)
        sequences = f"select oid from pg_class where {IN_SCHEMA} and relkind = 'S' offset 0"
        rights = f"has_sequence_privilege('{role}', s.oid, 'usage, select, update')"
        assert database.sql(f"select s.oid::regclass from ({sequences}) s where {rights}") == []
        assert database.sql(f"select has_schema_privilege('{role}', 'pgstate', 'create')") == [(False,)]
        owned = f"select objid from pg_shdepend where refobjid = '{role}'::regrole and deptype = 'o'"
        assert database.sql(owned) == []
    data = "select relname from pg_class where relkind in ('r', 'p', 'S') and relowner = 'pgstate_api'::regrole"
    assert database.sql(data) == []
    # none of them may become another, nor log in, nor hold an attribute
    roles = ", ".join(f"'{role}'" for role in ROLES)
    mighty = "rolsuper or rolcanlogin or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls"
    assert database.sql(f"select rolname from pg_roles where rolname in ({roles}) and ({mighty})") == []
    assert database.sql(f"select member::regrole from pg_auth_members where member::regrole::text in ({roles})") == []


@pytest.mark.one_database
@pytest.mark.every_version
def test_functions_for_agents_are_bound_by_the_policies(database: Database) -> None:
    functions = _functions(database)
    for_agents = [f for f in functions if f["agents"]]
    assert {f["name"] for f in for_agents if f["name"].startswith("_")} == INTERNAL_FOR_AGENTS
    assert {f["name"] for f in for_agents if f["owner"] == "pgstate_owner"} == OWNERS_FOR_AGENTS
    assert {f["owner"] for f in functions if f["definer"]} == {"pgstate_owner", "pgstate_api"}
    as_caller = {
        "_ensure_login",
        "create_agent",
        "create_gateway",
        "create_reader",
        "harden",
        "matches",
        "set_login",
        "write_and_wake",
    }
    assert {f["name"] for f in for_agents if not f["definer"]} == as_caller


@pytest.mark.one_database
@pytest.mark.every_version
def test_functions_for_agents_ask_who_acts(database: Database) -> None:
    """Each asks itself, or does nothing but call one that does."""
    asks = re.compile(r"pgstate\.(_enter|_enter_write|_enter_for|_check_login)\(")
    sources = {f["name"]: f["source"] for f in _functions(database)}
    asking = {name for name, source in sources.items() if asks.search(source)}
    assert {"get", "write_many", "_grant", "_delegate", "_add_agent", "_add_gateway", "_drop_agent"} <= asking
    # key(), labels(), matches() and its _filter_path() compute, unsubscribe() reaches the login's own channels and wake_lane() those who watch what its lane wrote,
    # _ensure_login() has the caller's rights
    for f in _functions(database):
        if f["agents"] and f["name"] not in asking | {
            "key",
            "labels",
            "matches",
            "unsubscribe",
            "wake_lane",
            "_ensure_login",
            "_filter_path",
        }:
            assert asking & set(re.findall(r"pgstate\.([a-z_]+)\(", f["source"])), f["shown"]
            assert not re.search(r"\bpgstate\.(entry|version|claim)\b", f["source"]), f["shown"]


@pytest.mark.one_database
@pytest.mark.every_version
def test_definers_pin_their_search_path(database: Database) -> None:
    for function in _functions(database):
        if function["definer"]:
            pinned = [setting for setting in function["config"] if setting.startswith("search_path=")]
            assert pinned == ["search_path=pg_catalog, pg_temp"], function["shown"]


@pytest.mark.one_database
def test_no_literal_depends_on_a_setting(database: Database) -> None:
    """With standard_conforming_strings off, which any login may set, a backslash in a plain literal is an escape: patterns
    of secrets then miss some. E'' and dollar quotes mean the same either way."""
    for function in _functions(database):
        plain = re.sub(r"--[^\n]*|\$(\w+)\$.*?\$\1\$|\b[eE]'(?:[^'\\]|\\.|'')*'", "", function["source"], flags=re.S)
        assert "\\" not in plain, function["shown"]


@pytest.mark.one_database
def test_no_function_goes_by_the_session_s_time_zone(database: Database) -> None:
    """Which any login may set, with an offset of seconds too: a quota of writes a minute began anew with each."""
    local = re.compile(
        r"\b(?:current_date|current_time|localtime|localtimestamp|to_char)\b|::(?:date|timestamp|time)\b"
        r"|\bdate_trunc\('\w+', (?:[^(),]|\([^()]*\))*\)"
    )
    for function in _functions(database):
        assert not local.search(function["source"]), function["shown"]


@pytest.mark.one_database
@pytest.mark.every_version
def test_definers_plan_once(database: Database) -> None:
    """A generic plan that looks dearer than the custom ones is passed over: planned anew by every call, for 100 us.

    No variable stands in a query of _reachable_through(): there are no custom plans for those, and a setting costs it a tenth.
    _newest_of_many() takes longer than planning does, and less when it is planned."""
    modes = {"_reachable_through": None, "_newest_of_many": "plan_cache_mode=force_custom_plan"}
    for function in _functions(database):
        mode = modes.get(function["name"], "plan_cache_mode=force_generic_plan")
        if function["definer"] and function["volatile"] != "i" and mode is not None:
            assert mode in function["config"], function["shown"]


@pytest.mark.one_database
@pytest.mark.every_version
def test_whoever_forbids_plans_forbids_jit(database: Database) -> None:
    """Up to 17 a forbidden plan that has no other looks so dear that it is compiled, by every call: retention took 27 s
    in place of 2 on a server with JIT."""
    for function in _functions(database):
        if any(setting.startswith("enable_") for setting in function["config"]):
            assert "jit=off" in function["config"], function["shown"]


@pytest.mark.one_database
@pytest.mark.every_version
def test_the_feed_reads_one_snapshot(database: Database) -> None:
    functions: dict[str, list[dict[str, Any]]] = {}
    for function in _functions(database):
        functions.setdefault(function["name"], []).append(function)
    pending, seen = set(FEED), set()
    while pending:
        name = pending.pop()
        seen.add(name)
        for function in functions[name]:
            assert function["volatile"] in ("s", "i"), function["shown"]
            called = set(re.findall(r"\bpgstate\.([a-z_]+)\s*\(", function["source"])) & functions.keys()
            pending |= called - seen
    assert seen >= {"_snapshot", "_frontier", "_position", "_window", "_window_start", "_enter"}


@pytest.mark.one_database
@pytest.mark.every_version
def test_everything_says_what_it_is(database: Database) -> None:
    functions = f"select p.oid::regprocedure::text from {FUNCTIONS} and obj_description(p.oid, 'pg_proc') is null"
    assert _names(database.sql(functions)) == []
    relations = f"{RELATIONS} and relname <> 'alembic_version' and obj_description(oid, 'pg_class') is null"
    assert _names(database.sql(f"select relname from {relations}")) == []
    # the row type of a table or view is described there
    types = (
        "select t.typname from pg_type t left join pg_class c on c.oid = t.typrelid"
        " where t.typnamespace = 'pgstate'::regnamespace and t.typelem = 0 and coalesce(c.relkind, 'c') = 'c'"
        " and obj_description(t.oid, 'pg_type') is null"
    )
    assert _names(database.sql(types)) == []


@pytest.mark.one_database
@pytest.mark.every_version
def test_every_column_of_a_view_says_what_it_is(database: Database) -> None:
    columns = (
        "select c.relname || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid"
        f" where c.{IN_SCHEMA} and c.relkind in ('v', 'm') and c.relname !~ '^_' and a.attnum > 0"
        " and col_description(c.oid, a.attnum) is null order by 1"
    )
    assert _names(database.sql(columns)) == []


@pytest.mark.one_database
def test_every_sqlstate_has_its_exception(database: Database) -> None:
    source = "\n".join(f["source"] for f in _functions(database))
    raised = set(re.findall(r"'(PS0\d\d)'", source)) - {"PS000"}
    assert raised == set(BY_SQLSTATE)
    texts = _names(database.sql(f"select coalesce(obj_description(p.oid, 'pg_proc'), '') from {FUNCTIONS}"))
    assert {code for text in texts for code in re.findall(r"\bPS\d\d\d\b", text)} <= raised


_WRONG = """
set role pgstate_api;
create function pgstate.wrong(statement text) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$ declare v_count bigint; begin execute statement; get diagnostics v_count = row_count; return v_count; end $$;
grant execute on function pgstate.wrong(text) to pgstate_agent;
"""
_ENTRY = (
    "insert into pgstate.entry (key, parent, version, live, value, writer, via, created_at, updated_at)"
    " values ('{}', 'x', 1, true, '1', 'x', 'x', now(), now())"
)
_VERSION = (
    "insert into pgstate.version (key, version, epoch, op, value, writer, via, at)"
    " values ('{}', 99, 1, 'put', '1', 'x', 'x', now())"
)
_CLAIM = "insert into pgstate.claim (key, token, lease_until, attempts, claimed_at) values ('{}', 1, now(), 1, now())"
_OTHERS = (
    "agent", "former_agent", "login", "delegation", "access_grant", "reach", "op", "lane", "watcher", "install", "feed_point",
    "thinning", "claim_log", "audit", "audit_chain", "audit_link", "audit_pending", "denied_count", "group_member", "quota", "usage", "_reach", "_acting_any", "ticket_key",
    "policy", "reducer", "mark", "sweep", "review", "search_rule", "search_build", "search_doc",
    "vector_index", "embedding", "embedding_wanted",
    "thread", "checkpoint", "chunk", "pending_write",
)  # fmt: skip


@pytest.mark.every_version
async def test_a_function_that_forgets_every_check_is_still_bound(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, database: Database
) -> None:
    for prefix in ("hid", "ro", "wo", "rw"):
        await root.rows("put_many", [f"{prefix}/1", f"{prefix}/2"], [1, 1])
        await root("claim", f"{prefix}/1", seconds(60))
    alice = await agent("alice", "read ro/**", "write wo/**", "read rw/**", "write rw/**")
    await agent("bob", "read **", "write **")
    database.sql(_WRONG)

    async def wrong(caller: Caller, statement: str) -> Any:
        return await caller.fetchval("select pgstate.wrong($1)", statement)

    for setting in ("", "admin", "bob"):
        for name in ("agent", "call_agent"):
            await alice.execute("select set_config($1, $2, false)", f"pgstate.{name}", setting)
        for table in ("entry", "version", "claim"):
            assert await wrong(alice, f"select from pgstate.{table} where key like 'hid/%'") == 0
            assert await wrong(alice, f"select from pgstate.{table}") == (3 if table == "claim" else 6)
        assert await wrong(alice, "update pgstate.entry set value = '2' where key like 'hid/%'") == 0
        assert await wrong(alice, "update pgstate.claim set token = 1 where key like 'hid/%'") == 0
        assert await wrong(alice, "delete from pgstate.claim where key ~ '^(hid|ro)/'") == 0
        for statement in (
            "update pgstate.entry set value = '2'",
            "update pgstate.entry set value = '2' where key = 'ro/1'",
            "update pgstate.claim set token = 1 where key = 'ro/1'",
            "update pgstate.entry set key = 'rw/3' where key = 'rw/1'",
            "update pgstate.claim set key = 'rw/3' where key = 'rw/1'",
            "update pgstate.version set value = '2' where key = 'rw/1'",
            *(insert.format(key) for insert in (_ENTRY, _VERSION, _CLAIM) for key in ("hid/3", "ro/3")),
            _ENTRY.format("hid/1") + " on conflict (key) do update set value = '2'",
            _ENTRY.format("ro/1") + " on conflict (key) do nothing",
            "delete from pgstate.entry where key = 'rw/1'",
            "delete from pgstate.version where key = 'rw/1'",
            "truncate pgstate.version",
            "alter table pgstate.entry disable row level security",
            "set role pgstate_owner",
            "set session authorization postgres",
            *(f"select from pgstate.{table}" for table in _OTHERS),
        ):
            with pytest.raises(asyncpg.PostgresError) as caught:
                await wrong(alice, statement)
            assert caught.value.sqlstate == "42501", statement
    # what alice may, the function may
    assert await wrong(alice, "update pgstate.entry set value = '2' where key = 'rw/1'") == 1
    assert await wrong(alice, _ENTRY.format("rw/3")) == 1
    # a gateway that names nobody, or somebody not delegated, reaches nothing
    both = await gateway("alice")
    for name in ("", "bob", "nobody"):
        await both.execute("select set_config('pgstate.agent', $1, false)", name)
        assert await wrong(both, "select from pgstate.entry") == 0
        with refused("42501"):
            await wrong(both, _ENTRY.format("rw/4"))
    await both.execute("select set_config('pgstate.agent', 'alice', false)")
    assert await wrong(both, "select from pgstate.entry where key ~ '^rw/'") == 3


@pytest.mark.one_database
def test_errors_show_what_was_given_without_secrets(database: Database) -> None:
    """What is cut for an error may hold anything: _shown() takes secrets out first."""
    raised = re.compile(r"raise exception[^;]*?(?<![_a-z])left\(", re.DOTALL)
    assert [f["name"] for f in _functions(database) if raised.search(f["source"])] == []
