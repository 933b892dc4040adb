"""Attacks 5, 6, 10 to 14, 25, 27, 28 and 30, as a login of its own and through a gateway.

The others are in test_attacks.py (1, 3, 7 to 10, 13, 15 to 24, 29) and test_attacks_02_hidden_and_missing.py (2, 3, 26). Attack 4, thousands
of interleaved timings, is measured by benchmarks/security.py: tests assert no durations.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import asyncpg
import pytest

from _server import SUPERUSER
from _sync import wait_until_blocked
from conftest import Clock, Database
from security._calls import functions_for_agents, outcome
from sql._caller import Caller, MakeAgent, refused, seconds

SECRET = "hid/s3cr3t-name"


@pytest.fixture
async def victim(root: Caller) -> Caller:
    await root.rows("put_many", [SECRET, "hid/task", "rw/mine"], ["s3cr3t-value", {"job": 1}, {"n": 0}])
    return root


@pytest.fixture
async def mallory(victim: Caller, attacker: MakeAgent) -> Caller:
    return await attacker("mallory", "read rw/**", "write rw/**", "read ro/**", "write wo/**")


def test_all_thirty_are_here() -> None:
    text = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    found = {int(n) for name in re.findall(r"def test_((?:\d\d_)+)", text) for n in name.strip("_").split("_")}
    assert found | {4} == set(range(1, 31))


@pytest.mark.every_version
async def test_05_bisecting_with_explain_recovers_nothing(mallory: Caller, victim: Caller, session: MakeAgent) -> None:
    """Of tables nothing is estimated, and what is estimated of functions does not depend on what they are asked."""
    await victim.rows("put_many", [f"hid/{n:04}" for n in range(1000)], ["v"] * 1000)
    await (await session(SUPERUSER)).execute("analyze")
    for relation in ("entry", "version", "entries", "thread", "run", "claim", "tasks"):
        for bound in ("hid/0", "hid/05", "zzz"):
            with refused("42501"):
                await mallory.execute(f"explain select from pgstate.{relation} where key >= 'hid/' and key < '{bound}'")
    plans = {
        await mallory.fetchval(
            f"explain (format json) select * from pgstate.{call.format(bound)} where key >= 'hid/' and key < '{bound}'"
        )
        for bound in ("hid/0", "hid/05", "hid/zzz", "nil/zzz")
        for call in ("list('**')", "list('**', after => '{}')")
    }
    assert len({re.sub(r'"(Function Call|Filter|Output)": .*', "", plan) for plan in plans}) == 1


async def test_settings_of_a_session_do_not_change_what_patterns_mean(mallory: Caller) -> None:
    """A login may have backslashes in literals read as escapes, and the bodies of functions are read in its session."""
    for setting in ("standard_conforming_strings = off", "escape_string_warning = off", "backslash_quote = off"):
        await mallory.execute(f"set {setting}")
    with refused("PS009"):
        await mallory("put", "rw/mine", "text\n" + "AKIA" + "ABCDEFGHIJKLMNOP")
    assert await mallory.fetchval("select pgstate.labels($1)", "a\u200bb") == ["invisible_characters"]
    await mallory("put", "rw/a.b/c", 1)
    for pattern in ("rw/**", "rw/a.*/*", "rw/**/c"):
        listed = [row["key"] for row in await mallory.fetch("select key from pgstate.list($1)", pattern)]
        assert "rw/a.b/c" in listed, pattern
    for odd in ("rw/..", "rw/./x", "rw/a..b/../c"):
        with refused("PS001"):
            await mallory("put", odd, 1)


@pytest.mark.every_version
async def test_06_filters_that_fail_are_run_on_visible_rows_only(mallory: Caller, victim: Caller) -> None:
    """What a predicate divides or casts by it has been given: a failure would tell of a hidden row."""
    for call in (
        "list()",
        "list('**')",
        "search()",
        "search('', filter => '{}')",
        "changes(pgstate.cursor())",
        "tasks()",
        "threads()",
        "runs()",
    ):
        for predicate in (
            "1 / (case when key ~ 's3cr3t' then 0 else 1 end) = 1",
            "case when key ~ '^hid' then key::int else 1 end = 1",
            "case when to_jsonb(r)::text ~ 's3cr3t' then key::int else 1 end = 1",
        ):
            await mallory.fetch(f"select * from pgstate.{call} r where {predicate}")
    # nor by what a function of theirs evaluates over values
    rows = await mallory.fetch("select key, value from pgstate.list() where coalesce((value ->> 'n')::int, 1) / 1 >= 0")
    assert {row["key"] for row in rows} == {"rw/mine"}
    for filter in ('{"job": {"$gte": 0}}', '{"$not": {"job": 2}}', '{"job": null}'):
        assert {r["key"] for r in await mallory.rows("search", filter=json.loads(filter))} <= {"rw/mine"}


@pytest.mark.every_version
async def test_11_no_setting_makes_it_somebody_else(mallory: Caller, victim: Caller, agent: MakeAgent) -> None:
    """Every setting that any function of the schema reads, and those that a function might be thought to read."""
    await agent("alice", "read hid/**", "write hid/**")
    sources = await mallory.fetch("select prosrc from pg_proc where pronamespace = 'pgstate'::regnamespace")
    settings = {name for row in sources for name in re.findall(r"'(pgstate\.[a-z_]+)', (?:true|false)", row["prosrc"])}
    assert settings >= {
        "pgstate.agent",
        "pgstate.call_agent",
        "pgstate.call_agents",
        "pgstate.identity",
        "pgstate.wake",
    }
    for setting in settings | {"pgstate.login", "pgstate.writer", "pgstate.session_user", "pgstate.root"}:
        for value in ("admin", "alice", "alice mallory", "1", "mallory admin"):
            for local in (True, False):
                async with mallory.transaction():
                    before = await mallory.fetchval("select current_setting($1, true)", setting)
                    await mallory.fetchval("select set_config($1, $2, $3)", setting, value, local)
                    try:
                        async with mallory.transaction():
                            assert await mallory("me") == "mallory", (setting, value)
                    except asyncpg.PostgresError as error:
                        assert (setting, error.sqlstate) == ("pgstate.agent", "PS010")
                    for call in ("get", "history", "run_steps", "checkpoint_state", "delete"):
                        with refused("PS010"):
                            async with mallory.transaction():
                                await mallory.rows(call, SECRET)
                    await mallory.fetchval("select set_config($1, $2, false)", setting, before or "")
    for named in ("admin", "alice", "nobody-there"):
        with refused("PS010"):
            await mallory("get", SECRET, agent=named)


@pytest.mark.every_version
async def test_11_a_forged_identity_does_not_hide_a_restore(
    mallory: Caller, victim: Caller, session: MakeAgent
) -> None:
    """Its transaction ids are others': a write that is stamped with the epoch of before would be lost to watchers."""
    inside = await session(SUPERUSER)
    identity = await inside.fetchval("select identity from pgstate.install")
    assert identity in await mallory("cursor")  # it is no secret
    epoch = await inside.fetchval("select epoch from pgstate.install")
    for settings, lane in (((), None), (("call_agent", "x"), None), ((), "00000000-0000-4000-8000-00000000000a")):
        # as after a restore into the same database: the table is another
        await inside.execute("update pgstate.install set table_oid = 1")
        await mallory.execute("select set_config('pgstate.identity', $1, false)", identity)
        if settings:
            await mallory.execute("select set_config('pgstate.' || $1, $2, false)", *settings)
        outcome = await mallory("write_one", "put", "rw/mine", 1, lane=lane, turn=lane and 1)
        assert outcome["status"] == "ok"
        began = await inside.fetchval("select epoch from pgstate.version order by seq desc limit 1")
        assert began > epoch
        epoch = began


@pytest.mark.every_version
async def test_12_writer_login_and_time_are_the_servers(mallory: Caller, victim: Caller, clock: Clock) -> None:
    login = await mallory.fetchval("select session_user::text")
    await mallory.execute("set timezone = 'Pacific/Kiritimati'")
    forged = {"writer": "admin", "via": "installer", "at": "2001-01-01T00:00:00Z", "trust": "operator", "version": 99}
    before = await clock.now()
    await mallory("put", "rw/forged", forged)
    await mallory("merge", "rw/forged", forged, "merge")
    await mallory("apply", [], [{"op": "put", "key": "rw/forged", "value": forged}])
    await mallory("save_checkpoint", "rw/thread", ["a"], ["json"], [b"1"], metadata=forged, id="c1")
    await mallory("start_run", "rw/run", seconds(60), "flow", parent="rw/mine")
    await mallory("signal_run", "rw/run", "go", "json", b"1")
    after = await clock.now()
    for key in ("rw/forged", "rw/thread", "rw/run"):
        for version in await mallory.rows("history", key):
            assert (version["writer"], version["via"]) == ("mallory", login)
            assert before <= version["at"] <= after
    (checkpoint,) = await mallory.rows("checkpoints", "rw/thread")
    assert (checkpoint["writer"], checkpoint["via"]) == ("mallory", login) and before <= checkpoint[
        "created_at"
    ] <= after
    # operations take no such field either
    for field in ("writer", "via", "at"):
        said = await outcome(
            mallory,
            f"""select * from pgstate.apply('[]', '[{{"op": "put", "key": "rw/x", "value": 1, "{field}": "admin"}}]')""",
        )
        assert said.startswith("PS"), said
    # nor do functions that agents execute have an argument for them, but those that choose rows or name a read
    for function in await functions_for_agents(mallory):
        names = {argument.name for argument in function.arguments}
        assert not names & {"via", "created_at", "updated_at", "written_at", "by"}, function.name
        assert "writer" not in names or function.name in {"rollback"}, function.name


@pytest.mark.every_version
async def test_14_nobody_grants_to_oneself(
    mallory: Caller, victim: Caller, agent: MakeAgent, login_name: object
) -> None:
    await agent("alice", "read hid/**")
    login = await mallory.fetchval("select session_user::text")
    before = await victim.fetch("select * from pgstate.grants order by 1, 2, 3")
    for right in ("read", "write", "admin"):
        for subtree in ("**", "hid/**", SECRET, "rw/**", "memory/{agent}/**", "{agent}/**"):
            await mallory.refuses(
                "PS010",
                f"grant_access('mallory', '{subtree}', '{right}')",
                f"revoke_access('alice', '{subtree}', '{right}')",
            )
    codes = {}
    for call in (
        "create_agent('eve')", f"create_agent('eve', '{login}')", f"create_gateway('{login}')", f"create_reader('{login}', '**')",
        f"set_login('alice', '{login}')", f"set_login('admin', '{login}')", "drop_agent('alice')", f"drop_gateway('{login}')", f"delegate('{login}', 'alice')",
        "undelegate('x', 'alice')", "set_policy('**', ttl => '1 s')", "drop_policy('rw/**')", "set_search('**')", "drop_search('**')",
        "create_vectors('v', 2, 'm')", "drop_vectors('v')", "register_reducer('r', 'pg_catalog.jsonb_concat(jsonb, jsonb)')", "drop_reducer('r')",
        f"_add_agent('eve', '{login}', '{{}}')", f"_add_gateway('{login}')", f"_set_login('alice', '{login}')", f"_ensure_login('{login}', 'pgstate_owner')",
        f"_ensure_login('{login}', 'pgstate_reader')", "_ensure_login('pgstate_owner', 'pgstate_agent')",
    ):  # fmt: skip
        codes[call] = (await outcome(mallory, f"select pgstate.{call}")).partition(":")[0]
    assert set(codes.values()) <= {"PS010", "42501", "PS007"}, codes
    for attribute in ("superuser", "createrole", "createdb", "replication", "bypassrls"):
        with refused("42501"):
            await mallory.execute(f"alter role current_user {attribute}")
    for role in ("pgstate_owner", "pgstate_api", "pgstate_reader", "pg_read_all_data", "pg_monitor", "installer"):
        with refused("42501"):
            await mallory.execute(f'grant {role} to "{login}"')
    assert await victim.fetch("select * from pgstate.grants order by 1, 2, 3") == before
    assert await victim.fetchval("select count(*) from pg_roles where rolname = 'eve'") == 0


@pytest.mark.every_version
async def test_25_nobody_goes_on_with_anothers_claim(
    mallory: Caller, victim: Caller, agent: MakeAgent, clock: Clock
) -> None:
    other = await agent("other", "read rw/**", "write rw/**")
    await victim("put", "rw/task", 1)
    token = (await other("claim", "rw/task", seconds(60)))["token"]
    hidden = (await victim("claim", "hid/task", seconds(60)))["token"]
    run = (await other("start_run", "rw/run", seconds(60), "flow"))["token"]
    for key, stolen in (("rw/task", token), ("rw/run", run)):
        assert (await mallory("renew", key, stolen, seconds(60)))["status"] == "stale"
        assert (await mallory("claim", key, seconds(60)))["status"] == "held"
        assert (await mallory("put", "rw/task", 2, token=stolen))["status"] == "stale"
    assert (await mallory("complete", "rw/task", token))["status"] == "stale"
    assert (await mallory("fail", "rw/task", token))["status"] == "stale"
    assert (await mallory("release", "rw/task", token))["status"] == "stale"
    # nor by what takes many
    for name, arguments in (
        ("complete_many", (["rw/task"], [token])),
        ("complete_many", (["rw/task"], [token], [2], ["rw/done"])),
        ("fail_many", (["rw/task"], [token])),
        ("release_many", (["rw/task"], [token])),
        ("renew_many", (["rw/task"], [token], [seconds(60)])),
        ("write_many", (["complete"], ["rw/task"], None, None, None, None, [token])),
        ("write_many", (["put"], ["rw/task"], [2], None, None, None, [token])),
        ("apply", ([{"key": "rw/task", "token": token}], [])),
        ("apply", ([], [{"op": "complete", "key": "rw/task", "token": token}])),
    ):
        assert [row["status"] for row in await mallory.rows(name, *arguments)] == ["stale"], (name, arguments)
    assert await mallory.fetchval("select value from pgstate.get('rw/task')") == 1
    assert (await mallory("end_run", "rw/run", run, "done"))["status"] == "stale"
    # the hidden one's token, on the hidden key and on a key of one's own
    await mallory.refuses("PS010", f"renew('hid/task', {hidden}, '1 s')", f"complete('hid/task', {hidden})", f"fail('hid/task', {hidden})",
                          f"release('hid/task', {hidden})", "release('hid/task', force => true)")  # fmt: skip
    assert (await mallory("complete", "rw/mine", hidden))["status"] == "stale"
    # a lease that has ended
    mine = (await mallory("claim", "rw/mine", seconds(1)))["token"]
    await clock.advance(5)
    for call in ("renew", "complete", "fail"):
        arguments = (mine, seconds(60)) if call == "renew" else (mine,)
        assert (await mallory(call, "rw/mine", *arguments))["status"] == "stale"
    # hidden tasks are neither counted nor taken
    await victim.rows("put_many", [f"hid/{n}" for n in range(50)], [1] * 50)
    assert {row["key"] for row in await mallory.rows("tasks")} <= {"rw/task", "rw/mine", "rw/run"}
    assert {row["key"] for row in await mallory.rows("claim_many", "**", 1000, seconds(1))} <= {"rw/mine", None}
    assert {row["key"] for row in await mallory.rows("list_claims")} <= {"rw/task", "rw/mine", "rw/run"}
    await mallory.refuses("PS010", "claim_log()", "claim_log('hid/**')", "claim_log('rw/**')")
    assert {v["writer"] for v in await victim.rows("history", "hid/task")} == {"admin"}


@pytest.mark.every_version
async def test_27_a_write_held_open_stops_writers_of_its_key_only(
    mallory: Caller, victim: Caller, agent: MakeAgent
) -> None:
    worker = await agent("worker", "read rw/**", "write rw/**", "read hid/**", "write hid/**")
    holding = mallory.transaction()
    await holding.start()
    for call in (
        ("put", "rw/mine", 1),
        ("put", "rw/new", 1),
        ("save_checkpoint", "rw/thread", ["a"], ["json"], [b"1"]),
        ("start_run", "rw/run"),
    ):
        await mallory(*call)
    for statement in (
        "put('rw/mine', '2')", "merge('rw/mine', '2', 'replace')", "put('rw/new', '1', 0)", "claim('rw/mine', '1 s')", "start_run('rw/run')",
        r"save_checkpoint('rw/thread', array['a'], array['json'], array['\x31'::bytea])",
    ):  # fmt: skip
        with refused("55P03"):
            async with worker.transaction():
                await worker.execute("set local lock_timeout = '50ms'")
                await worker.execute(f"select pgstate.{statement}")
    await worker.execute("set lock_timeout = '5s'")
    assert (await worker("put", SECRET, 2))["status"] == "ok"
    assert (await worker("put", "rw/other", 2))["status"] == "ok"
    assert (await worker("get", "rw/mine"))["value"] == {"n": 0}
    assert "rw/new" not in {row["key"] for row in await worker.rows("list", "rw/**")}
    assert (await worker("save_checkpoint", "rw/thread-2", ["a"], ["json"], [b"1"]))["status"] == "ok"
    await victim("grant_access", "worker", "ro/**", "read")
    await holding.rollback()


@pytest.mark.every_version
async def test_28_too_much_is_refused_and_others_go_on(mallory: Caller, victim: Caller, database: Database) -> None:
    """A connection too many and a value too large. What remains possible with arbitrary SQL, and what to set outside, is in the
    README: pgstate cannot stop a session that computes or holds a transaction open."""
    login = await mallory.fetchval("select session_user::text")
    database.sql(f'alter role "{login}" connection limit 1')
    with pytest.raises(asyncpg.PostgresError) as caught:
        await asyncpg.connect(database.dsn(login))
    assert caught.value.sqlstate == "53300"
    limit = (await mallory("info"))["value_limit"]
    for call in (
        f"put('rw/big', to_jsonb(repeat('x', {limit + 1})))",
        f"merge('rw/big', to_jsonb(repeat('x', {limit + 1})), 'replace')",
    ):
        said = await outcome(mallory, f"select * from pgstate.{call}")
        assert said.startswith(("PS004", "PS003", "PS006")), said
    assert await mallory.rows("history", "rw/big") == []
    for call in (
        'list("limit" => 100001)',
        "history('rw/mine', 100001)",
        'threads("limit" => 0)',
        'search("limit" => 10001)',
        "maintain(100001)",
        "namespaces('', \"limit\" => 100001)",
    ):
        assert (await outcome(mallory, f"select * from pgstate.{call}")).startswith("PS007"), call
    assert (await victim("put", SECRET, 1))["status"] == "ok"
    # what an agent may do to itself only
    await mallory.execute("set statement_timeout = '20ms'")
    with refused("57014"):
        await mallory.execute("select pg_sleep(10)")
    assert (await victim("put", SECRET, 2))["status"] == "ok"


@pytest.mark.every_version
async def test_28_waiting_for_a_hidden_writer_is_not_possible(mallory: Caller, victim: Caller) -> None:
    """Whoever is denied has waited for nobody: else a lock would tell that somebody writes there."""
    holding = victim.transaction()
    await holding.start()
    await victim("put", SECRET, 1)
    await victim("put", "wo/x", 1)
    await mallory.execute("set lock_timeout = '1ms'")
    await mallory.refuses("PS010", f"put('{SECRET}', '1')", f"claim('{SECRET}', '1 s')", f"delete('{SECRET}')", f"complete('{SECRET}', 1)",
                          f"delete_thread('{SECRET}')", f"start_run('{SECRET}')", f"put_writes('{SECRET}', 'c', 't', '{{0}}', '{{a}}', '{{json}}', array['1'::bytea])",
                          f"fork_thread('{SECRET}', 'rw/fork')", f"fork_run('{SECRET}', 'rw/fork')", f"signal_run('{SECRET}', 'go')", f"cancel_run('{SECRET}')",
                          "put('wo/x', '1', 0)", "claim('wo/x', '1 s')")  # fmt: skip
    await holding.rollback()


@pytest.mark.every_version
async def test_30_a_schema_holds_and_its_refusal_tells_no_other_value(mallory: Caller, victim: Caller) -> None:
    await victim("set_policy", "rw/**", schema={"type": "object", "required": ["n"]})
    for call in ("put('rw/mine', '\"s3cr3t\"')", "put('rw/new', '{}')", "merge('rw/mine', '[]', 'replace')"):
        said = await outcome(mallory, f"select * from pgstate.{call}")
        assert said.startswith("PS") and "s3cr3t" not in said, said
    assert [v["version"] for v in await mallory.rows("history", "rw/mine")] == [1]
    assert await mallory.rows("history", "rw/new") == []


@pytest.mark.every_version
async def test_27_waiters_are_seen_without_their_keys(mallory: Caller, victim: Caller, session: MakeAgent) -> None:
    holding = mallory.transaction()
    await holding.start()
    await mallory("put", "rw/mine", 5)
    waiting = asyncio.ensure_future(victim.fetch("select (pgstate.put('rw/mine', '6')).status"))
    await wait_until_blocked((await session(SUPERUSER)).connection, victim.pid)
    shown = await mallory.fetch("select query from pg_stat_activity where pid = $1", victim.pid)
    assert all("rw/mine" not in (row["query"] or "") for row in shown)
    await holding.commit()
    await waiting


@pytest.mark.every_version
async def test_30_a_secret_is_refused_and_nowhere_said(mallory: Caller, victim: Caller) -> None:
    token = "ghp_" + "A1b2C3d4E5f6G7h8I9j0"[:18] * 2
    before = len(await mallory.rows("history", "rw/mine"))
    for call in (
        f"put('rw/mine', '\"{token}\"')",
        f"put('rw/new', '{{\"a\": [\"{token}\"]}}')",
        f"merge('rw/mine', '{{\"t\": \"{token}\"}}', 'merge')",
    ):
        said = await outcome(mallory, f"select * from pgstate.{call}")
        assert said.startswith("PS009") and token not in said, said
    assert len(await mallory.rows("history", "rw/mine")) == before
    assert await mallory.rows("history", "rw/new") == []


@pytest.mark.every_version
async def test_09_28_a_quota_is_one_s_own_and_denials_use_none_of_it(
    mallory: Caller, victim: Caller, clock: Clock
) -> None:
    # a minute begins
    await clock.advance(60 - (await clock.now()).second)
    await victim("set_quota", "mallory", writes_per_minute=3)
    for _ in range(5):
        await mallory.refuses("PS010", f"put('{SECRET}', '1')", "put('nil/x', '1')")
    for number in range(3):
        assert (await mallory("put", "rw/mine", number))["status"] == "ok"
    assert (await outcome(mallory, "select * from pgstate.put('rw/mine', '9')")).startswith("PS060")
    # in which a minute begins at another second
    for zone in ("interval '20 s'", "interval '-17 s'", "'<x>+00<y>+00:00:41,J2,J364'"):
        await mallory.execute(f"set time zone {zone}")
        assert (await outcome(mallory, "select * from pgstate.put('rw/mine', '9')")).startswith("PS060")
    assert (await victim("put", "rw/mine", 10))["status"] == "ok"
    await mallory.refuses("PS010", "set_quota('mallory')", "set_quota('admin', entries => 0)")
    assert (await victim("put", SECRET, 1))["status"] == "ok"
