"""Who acts, what they reach, who may change that, and that a refusal tells nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from conftest import Database
from sql._caller import Caller, MakeAgent, refused, seconds

_SETTINGS = ("agent", "call_agent", "call_agents", "identity", "wake")


async def _pretend(caller: Caller, name: str) -> None:
    for setting in _SETTINGS:
        await caller.execute("select set_config($1, $2, false)", f"pgstate.{setting}", name)


def _says(error: asyncpg.PostgresError) -> tuple[Any, ...]:
    return error.sqlstate, error.message, error.detail, error.hint, error.constraint_name, error.table_name


async def _outcome(caller: Caller, call: str) -> Any:
    """Rows, or all that an error says."""
    try:
        return [tuple(row) for row in await caller.fetch(f"select * from pgstate.{call}")]
    except asyncpg.PostgresError as error:
        return _says(error)


@pytest.mark.every_version
async def test_a_login_is_its_agent(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice")
    assert (await root("me"), await alice("me"), await alice("me", "alice")) == ("admin", "alice", "alice")
    info = await alice("info")
    assert (info["agent"], info["login"]) == ("alice", await alice.fetchval("select session_user::text"))
    await alice.refuses("PS010", "me('admin')", "me('nobody')", "info('admin')", "get('memory/alice/x', 'admin')")
    await alice("put", "memory/alice/x", 1)
    (version,) = await alice.rows("history", "memory/alice/x")
    assert (version["writer"], version["via"]) == ("alice", info["login"])


@pytest.mark.every_version
async def test_no_setting_makes_an_agent_somebody_else(root: Caller, agent: MakeAgent) -> None:
    await agent("bob", "read **", "write **")
    alice = await agent("alice", "read a/**", "write a/**")
    await root.rows("put_many", ["a/x", "b/x"], [1, 1])
    start = await root("cursor")
    await root.rows("put_many", ["a/x", "b/x"], [2, 2])
    for name in ("bob", "admin", "nobody", "alice bob", ""):
        await _pretend(alice, name)
        assert await alice("me") == "alice"
        assert [r["key"] for r in await alice.rows("list")] == ["a/x"]
        assert {r["key"] for r in await alice.rows("changes", start)} == {"a/x", None}
        await alice.refuses("PS010", "get('b/x')", "put('b/x', '3')", "claim('b/x', '1 s')", "create_agent('eve')")
        assert (await alice("put", "a/x", 3))["status"] == "ok"
    assert {v["writer"] for v in await root.rows("history", "a/x")} == {"admin", "alice"}
    assert (await root("info"))["epoch"] == 1


@pytest.mark.every_version
async def test_a_login_that_is_not_registered_is_nobody(
    root: Caller, session: MakeAgent, login_name: Callable[[str], str]
) -> None:
    member, stranger = login_name("member"), login_name("stranger")
    await root.execute(f'create role "{member}" login in role pgstate_agent; create role "{stranger}" login')
    await root("put", "k", 1)
    cursor = await root("cursor")
    nobody = await session(member)
    for name in (None, "admin"):
        if name is not None:
            await _pretend(nobody, name)
        said = await nobody.refuses(
            "PS010", "me()", "me('admin')", "info()", "get('k')", "get('none')", "list()", "put('k', '1')", "cursor()",
            "delete('k')", "claim_next('**', '1 s')", "expire()", "agents()", "grants()", "wake(array['k'])",
            "write_many(array['put'], array['k'], array['1']::jsonb[])", "get_many(array['k'])", "history('k')",
            f"changes('{cursor}')", "apply('[]', '[]')", "list_claims()", "create_agent('eve')", "drop_agent('admin')",
            "drop_gateway('none')", "set_login('admin', null)", "grant_access('admin', 'x', 'read')",
            *(f"changes_for('{cursor}', '{agents}', '{{\"\"}}')" for agents in ("{admin}", "{NULL}", '{""}', '{" "}')),
            *(f"subscribe('{agents}', '{{\"\"}}')" for agents in ("{admin}", "{NULL}", '{""}', '{" "}')),
        )  # fmt: skip
        assert len(said) == 1
    await (await session(stranger)).refuses("42501", "me()", "get('k')", "list()")


@pytest.mark.every_version
async def test_a_gateway_acts_for_delegated_agents_only(root: Caller, agent: MakeAgent, gateway: MakeAgent) -> None:
    for name in ("alice", "bob", "carol"):
        await agent(name)
    both = await gateway("alice", "bob")
    login = await both.fetchval("select session_user::text")
    assert (await both("info"))["agent"] is None
    await both.refuses("PS010", "me()", "me('carol')", "me('admin')", "me('nobody')", "me('')", "list()", "cursor()")
    assert await both("me", "alice") == "alice"
    async with both.transaction():
        await both("me", "alice")
        assert (await both("info"))["agent"] is None
    async with root.transaction():
        await root.execute("set local pgstate.agent = 'bob'")
        assert [await root("me", named) for named in (None, "", "alice")] == ["bob", "bob", "alice"]
    async with both.transaction():
        await both.execute("set local pgstate.agent = 'bob'")
        assert (await both("me"), await both("me", "alice"), await both("me")) == ("bob", "alice", "bob")
        await both("put", "memory/bob/x", 1)
        (version,) = await both.rows("history", "memory/bob/x")
        assert (version["writer"], version["via"]) == ("bob", login)
    for name in ("carol", "admin", "nobody"):
        async with both.transaction():
            await both.execute(f"set local pgstate.agent = '{name}'")
            with refused("PS010"):
                async with both.transaction():
                    await both("me")
            assert await both("me", "alice") == "alice"
    await both.refuses("PS010", "me()", "get('memory/bob/x')", "get('memory/bob/x', 'alice')")
    await root("undelegate", login, "bob")
    await both.refuses("PS010", "me('bob')", "get('memory/bob/x', 'bob')", "put('memory/bob/x', '1', agent => 'bob')")
    assert await both("me", "alice") == "alice"
    await root.refuses(
        "PS007", "delegate('nobody', 'alice')", f"delegate('{login}', 'nobody')", f"create_gateway('{login}')",
        f"create_agent('dave', '{login}')", "create_agent('alice')", "create_agent('a/b')", "create_agent('pgstate')",
        "create_agent(null)", "create_agent('{agent}')", "create_gateway('pgstate_owner')", "create_gateway(null)",
    )  # fmt: skip


@pytest.mark.every_version
async def test_the_agent_of_one_call_never_carries_over(root: Caller, agent: MakeAgent, gateway: MakeAgent) -> None:
    await agent("alice", "read a/**", "write a/**")
    await agent("bob", "read b/**", "write b/**")
    await root.rows("put_many", ["a/x", "b/x"], [1, 1])
    both = await gateway("alice", "bob")
    start = await both("cursor", agent="alice")

    async def denied(function: str, *arguments: Any, **named: Any) -> None:
        with refused("PS010"):
            async with both.transaction():
                await both.rows(function, *arguments, **named)

    async with both.transaction():
        for call in (
            ("get", "a/x"),
            ("put", "a/x", 2),
            ("list", "a/*"),
            ("apply", [], [{"op": "put", "key": "a/x", "value": 3}]),
            ("claim", "a/x", seconds(1)),
            ("changes", start),
            ("changes", start, [""], 1, None),
        ):
            await both.rows(*call, agent="alice")
            await denied("me")
            await denied("get", "a/x")
            await denied("put", "a/x", 9)
            await denied("get", "a/x", agent="bob")
            await both.rows(*call, agent="alice")
            assert (await both("get", "b/x", agent="bob"))["status"] == "ok"
        await both.rows("changes_for", start, ["alice", "bob"], ["", ""])
        await denied("list")
        await denied("put", "a/x", 9)
        assert [r["key"] for r in await both.rows("list", agent="bob")] == ["b/x"]
    # several agents in one statement: each call is its own agent's
    mixed = await both.fetch(
        "select pgstate.me(v.a) as me, (pgstate.get(v.k, v.a)).status as got,"
        "       (pgstate.put(v.k, '5', agent => v.a)).status as put"
        "  from (values ('a/x', 'alice'), ('b/x', 'bob'), ('a/x', 'alice')) v (k, a)"
    )
    assert [r["me"] for r in mixed] == ["alice", "bob", "alice"]
    assert {r["got"] for r in mixed} == {"ok"}
    with refused("PS010"):
        await both.fetch(
            "select (pgstate.get(v.k, v.a)).status from (values ('a/x', 'alice'), ('a/x', 'bob')) v (k, a)"
        )


@pytest.mark.every_version
async def test_who_installed_may_act_for_anybody(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/**")
    await root("put", "a/x", 1)
    assert await root("me", "alice") == "alice"
    await root.refuses("PS010", "put('a/x', '1', agent => 'alice')", "get('b/x', 'alice')", "me('nobody')")
    async with root.transaction():
        await root.execute("set local pgstate.agent = 'alice'")
        assert [r["key"] for r in await root.rows("list")] == ["a/x"]
        with refused("PS010"):
            await root("create_agent", "bob")
    assert await alice("me") == "alice"


@pytest.mark.every_version
async def test_a_grant_covers_its_subtree_and_nothing_beside_it(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/b/**", "read one", "read team/{agent}/**", "read x/{agent}")
    inside = ["a/b", "a/b/c", "a/b/c/d", "memory/alice", "memory/alice/x", "one", "team/alice/1", "x/alice"]
    outside = [
        "a", "a/b-secret", "a/b.x", "a/b0", "a/bc", "a/B/c", "memory/alice2", "memory/bob/x", "one/deeper", "one-more",
        "team/alice-2/x", "team/bob/1", "team", "x/alice/y", "x/bob",
    ]  # fmt: skip
    await root.rows("put_many", inside + outside, [1] * len(inside + outside))
    assert [r["key"] for r in await alice.rows("list")] == sorted(inside)
    read = await alice.rows("get_many", inside + outside)
    assert [r["status"] for r in read] == ["ok"] * len(inside) + ["denied"] * len(outside)
    assert all(r["value"] is None and r["version"] is None for r in read[len(inside) :])
    wrote = await alice.rows("put_many", inside, [2] * len(inside))
    assert [r["status"] == "ok" for r in wrote] == [key.startswith("memory/") for key in inside]
    for subtree in (
        "",
        "a/*",
        "*",
        "a**",
        "**/a",
        "a/**/b",
        "a/?",
        "{agent}x",
        "a//b",
        "../a",
        "a/",
        "é",
        "a/{agent}*",
    ):
        with refused("PS002"):
            await root("grant_access", "alice", subtree, "read")
    with refused("PS002"):
        await root("grant_access", "alice", None, "read")
    await root.refuses(
        "PS007", "grant_access('alice', 'a', 'reads')", "grant_access('alice', 'a', null)",
        "grant_access('nobody', 'a', 'read')", "revoke_access('admin', '**', 'admin')",
    )  # fmt: skip


@pytest.mark.every_version
async def test_revoking_takes_back_exactly_what_was_granted(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/**", "read a/b/**", "write a/**")
    await root.rows("put_many", ["a/x", "a/b/x"], [1, 1])
    await root("revoke_access", "alice", "a/**", "read")
    await alice.refuses("PS010", "get('a/x')", "history('a/x')", "claim('a/x', '1 s')", "put('a/x', '1', 1)")
    assert (await alice("get", "a/b/x"))["status"] == "ok"
    assert (await alice("put", "a/x", 2))["version"] is None
    # not grants that there are: a misspelt one must not pass for a right taken away
    await root.refuses("PS007", "revoke_access('alice', 'a/b', 'read')", "revoke_access('alice', 'a/**', 'read')")
    assert (await alice("get", "a/b/x"))["status"] == "ok"
    for right, subtree in (("read", "a/b/**"), ("write", "a/**")):
        await root("revoke_access", "alice", subtree, right)
    await alice.refuses("PS010", "get('a/b/x')", "put('a/x', '1')")
    assert [(g["subtree"], g["right"]) for g in await root.rows("grants") if g["agent"] == "alice"] == [
        ("memory/{agent}/**", "read"),
        ("memory/{agent}/**", "write"),
    ]
    await root("grant_access", "alice", "a/**", "read")
    await root("grant_access", "alice", "a/**", "read")
    assert (await alice("get", "a/x"))["status"] == "ok"


@pytest.mark.every_version
async def test_admin_holds_inside_its_subtree_only(root: Caller, agent: MakeAgent, login_name: Any) -> None:
    boss = await agent("boss", "admin team/**")
    carol = await agent("carol", "read other/x")
    await root.rows("put_many", ["team/x", "other/x"], [1, 1])
    for subtree in ("team/**", "team", "team/a/**", "team/{agent}/**", "team/{agent}"):
        for right in ("read", "write", "admin"):
            await boss("grant_access", "carol", subtree, right)
            await boss("revoke_access", "carol", subtree, right)
    await boss("grant_access", "carol", "team/**", "read")
    assert (await carol("get", "team/x"))["status"] == "ok"
    login = login_name("eve")
    said = await boss.refuses(
        "PS010",
        *(
            f"{call}('carol', '{subtree}', 'read')"
            for call in ("grant_access", "revoke_access")
            for subtree in ("**", "other/**", "other/x", "team-2/**", "team0", "{agent}/**", "{agent}", "t/{agent}/**")
        ),
        "grant_access('boss', '**', 'admin')",
        "create_agent('eve')",
        f"create_agent('eve', '{login}')",
        f"create_gateway('{login}')",
        f"create_reader('{login}', 'team/**')",
        "delegate('none', 'carol')",
        "undelegate('none', 'carol')",
        "_add_agent('eve', null, '{}')",
        "_add_gateway('none')",
        "get('team/x')",
        "put('team/x', '2')",
    )
    assert len(said) == 1
    assert not await root.fetchval("select exists (select from pg_roles where rolname = $1)", login)
    await carol.refuses("PS010", "grant_access('carol', 'team/**', 'read')", "revoke_access('carol', 'team/x', 'read')")
    assert [a["name"] for a in await boss.rows("agents")] == ["boss"]
    assert {g["agent"] for g in await boss.rows("grants")} == {"boss"}
    assert [a["name"] for a in await root.rows("agents")] == ["admin", "boss", "carol"]
    # what it granted outlives its own right, and says who did it
    await root("revoke_access", "boss", "team/**", "admin")
    await boss.refuses("PS010", "grant_access('carol', 'team/y', 'read')")
    granted = [g["granted_by"] for g in await carol.rows("grants") if g["subtree"] == "team/**"]
    assert granted == ["boss"]


async def test_creating_an_agent_needs_admin_and_leaves_nothing_when_refused(
    root: Caller, agent: MakeAgent, database: Database, login_name: Callable[[str], str]
) -> None:
    alice = await agent("alice", "read **", "write **", "admin **")
    login = login_name("eve")
    # the right in pgstate is there, but not the right to make roles
    for call in (f"create_agent('eve', '{login}')", f"create_gateway('{login}')", f"create_reader('{login}', 'a/**')"):
        await alice.refuses("42501", call)
    await alice.refuses("42501", f"_ensure_login('{login}', 'pgstate_agent')")
    assert database.sql(f"select 1 from pg_roles where rolname = '{login}'") == []
    assert [a["name"] for a in await root.rows("agents")] == ["admin", "alice"]
    await alice("create_agent", "eve")
    assert [(a["name"], a["login"], a["gateways"]) for a in await root.rows("agents")][2] == ("eve", None, [])
    # a role that exists is taken as it is
    await root("create_agent", "frank", login)
    await root("create_agent", "grace", login_name("grace"))
    await root.refuses("PS007", f"create_agent('heidi', '{login}')")
    assert (await agent("ivan", "read i/**")).pid


_KEYS = ("hid/there", "hid/claimed", "hid/gone", "hid/never")


@pytest.mark.every_version
async def test_a_denial_is_the_same_whatever_is_there(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read ro/**", "write wo/**")
    for prefix in ("hid", "ro", "wo"):
        await root.rows("put_many", [f"{prefix}/{k}" for k in ("there", "claimed", "gone")], ["secret"] * 3)
        await root("claim", f"{prefix}/claimed", seconds(60))
        await root("delete", f"{prefix}/gone")
    reads = ["get('{key}')", "history('{key}')"]
    writes = ["put('{key}', '1')", "delete('{key}')", "merge('{key}', '1', 'add')", "put('{key}', '1', op_id => 'o')"]
    comparing = [
        "put('{key}', '1', 0)", "put('{key}', '1', 1)", "put('{key}', '1', expect_value => '\"secret\"')",
        "put('{key}', '1', token => 1)", "delete('{key}', 1)", "delete('{key}', token => 1)", "complete('{key}', 1)",
        "merge('{key}', '1', 'add', return_value => true)", "merge('{key}', '1', 'add', token => 1)",
        "claim('{key}', '1 s')", "renew('{key}', 1, '1 s')", "release('{key}', 1)",
    ]  # fmt: skip
    guards = [
        f"""apply('[{{"key": "{{key}}", {g}}}]', '[]')"""
        for g in ('"exists": true', '"absent": true', '"version": 1', '"token": 1', '"value": "secret"')
    ]
    for prefix, calls in (
        ("hid", reads + writes + comparing + guards),
        ("ro", writes),
        ("wo", reads + comparing + guards),
    ):
        for call in calls:
            text = call.replace("{{", "{").replace("}}", "}")
            said = {await _outcome(alice, text.replace("{key}", key.replace("hid/", f"{prefix}/"))) for key in _KEYS}
            assert len(said) == 1, (call, said)
            assert said.pop()[:2] == ("PS010", "access denied"), call
    for call in (
        "get_many(array['{key}'])",
        "put_many(array['{key}'], array['1']::jsonb[])",
        "delete_many(array['{key}'])",
        "merge_many(array['{key}'], array['1']::jsonb[], array['add'])",
        "write_many(array['complete'], array['{key}'], tokens => array[1])",
        "write_many(array['put'], array['{key}'], array['1']::jsonb[], wake => false)",
        "list('{key}')",
        "list('{key}/**')",
        "list_claims('{key}')",
        "list_claims('{key}/**')",
        "claim_next('{key}', '1 s')",
    ):
        outcomes = [str(await _outcome(alice, call.format(key=key))).replace(key, "") for key in _KEYS]
        assert len(set(outcomes)) == 1, (call, outcomes)


@pytest.mark.every_version
async def test_who_may_only_write_learns_no_version(root: Caller, agent: MakeAgent) -> None:
    blind = await agent("blind", "write a/**")
    await root.rows("put_many", ["a/x", "a/y"], [1, 1])
    await root("put", "a/list", [])
    for key in ("a/x", "a/new"):
        assert await blind("put", key, 2) == ("ok", None, None)
        assert await blind("merge", key, 1, "add") == ("ok", None, None)
        assert await blind("merge", key, 3, "first") == ("ok", None, None)
        assert await blind("delete", key) == ("ok", None, None)
        assert await blind("delete", key) == ("ok", None, None)
    rows = await blind.rows("put_many", ["a/y", "a/y", "a/z", "a/x"], [1, 2, 3, 4])
    rows += await blind.rows("put_many", ["a/y", "a/z"], [1, 2])
    rows += await blind.rows("merge_many", ["a/list"], [[1]], ["append"])
    rows += await blind.rows("delete_many", ["a/z", "a/none"])
    rows += await blind.rows("apply", [], [{"op": "put", "key": "a/y", "value": 1}, {"op": "delete", "key": "a/none"}])
    assert {(r["status"], r["version"], r["value"]) for r in rows} == {("ok", None, None)}
    again = [await blind("put", "a/y", 1, op_id="once") for _ in range(2)]
    assert again == [("ok", None, None)] * 2
    await root("claim", "a/y", seconds(60))
    for call in (("put", "a/y", 2), ("merge", "a/y", 1, "add"), ("delete", "a/y")):
        assert (await blind(*call))[1:] == (None, None)
    assert [c["key"] for c in await blind.rows("changes", await blind("cursor"))] == [None]
    assert await blind.rows("list") == []


@pytest.mark.every_version
async def test_a_refused_row_does_not_tell_whether_somebody_watches(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    await root("put", "b/x", 1)

    async def told(*keys: str) -> list[Any]:
        rows = await alice.rows("write_many", ["put"] * len(keys), list(keys), [1] * len(keys), wake=False)
        return [r["watched"] for r in rows]

    batches = (["b/x"], ["a/x", "b/x"], ["a/x", "b/none", "c/x"], ["a/x"])
    before = [await told(*keys) for keys in batches]
    await root("subscribe", ["admin"], ["b/**"])
    assert [await told(*keys) for keys in batches] == before
    await root("subscribe", ["admin"], ["a/**"])
    assert any(await told("a/x", "b/x"))


@pytest.mark.every_version
async def test_a_reader_selects_what_its_pattern_covers(
    root: Caller, session: MakeAgent, database: Database, login_name: Callable[[str], str]
) -> None:
    await root.rows("put_many", ["a/b", "a/b/x", "a/b-secret", "c", "a/b/gone"], [1] * 5)
    await root("delete", "a/b/gone")
    await root("claim", "a/b/x", seconds(60))
    await root("claim", "c", seconds(60))
    login = login_name("reader")
    await root("create_reader", login, "a/b/**")
    reader = await session(login)
    assert [r["key"] for r in await reader.fetch("select key from pgstate.entries order by key")] == ["a/b", "a/b/x"]
    versions = [tuple(r) for r in await reader.fetch("select key, op from pgstate.versions order by seq")]
    assert versions == [("a/b", "put"), ("a/b/gone", "put"), ("a/b/x", "put"), ("a/b/gone", "delete")]
    assert [r["key"] for r in await reader.fetch("select key from pgstate.claims")] == ["a/b/x"]
    assert await reader.fetchval("select count(*) from pgstate.entry where key = 'c'") == 0
    # the functions give it the same
    assert [r["key"] for r in await reader.rows("list")] == ["a/b", "a/b/x"]
    await reader.refuses("PS010", "get('c')", "put('a/b/x', '2')", "list('c')")
    await _pretend(reader, "admin")
    for view in ("entries", "versions", "claims"):
        assert {r["key"] for r in await reader.fetch(f"select key from pgstate.{view}")} <= {"a/b", "a/b/x", "a/b/gone"}
    for statement in (
        "update pgstate.entries set priority = 2",
        "delete from pgstate.versions",
        "insert into pgstate.entry (key) values ('a/b/y')",
        "truncate pgstate.entry",
        "select from pgstate.agent",
        "select from pgstate.access_grant",
        "select from pgstate.op",
        "select from pgstate._acting_any",
    ):
        with refused("42501"):
            await reader.execute(statement)
    await _pretend(reader, "")
    assert await reader.fetchval("select count(*) from pgstate.entries") == 2
    await root("revoke_access", login, "a/b/**", "read")
    assert await reader.fetch("select from pgstate.entries union all select from pgstate.versions") == []
    await root.refuses("PS002", f"create_reader('{login_name('bad')}', 'a/*')")


async def _left(root: Caller, name: str) -> dict[str, int]:
    """How many rows of each table refer to an agent of this name."""
    tables = {
        "login": "agent_id", "delegation": "agent_id", "access_grant": "agent_id", "reach": "agent_id", "claim": "holder_id",
    }  # fmt: skip
    return {
        table: await root.fetchval(_COUNT.format(table=table, column=column), name) for table, column in tables.items()
    }


_COUNT = "select count(*) from pgstate.{table} t join pgstate.agent a on a.id = t.{column} where a.name = $1"


@pytest.mark.every_version
async def test_a_dropped_agent_is_nobody_and_its_history_stays(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, session: MakeAgent, database: Database
) -> None:
    superuser = await session("postgres")
    alice = await agent("alice", "read t/**", "write t/**", "admin t/**")
    bob = await agent("bob", "read t/**", "write t/**")
    both = await gateway("alice", "bob")
    login = await alice.fetchval("select session_user::text")
    await alice.rows("put_many", ["t/1", "t/2", "t/3", "memory/alice/secret"], [1, 2, 3, "hers"])
    await alice("grant_access", "bob", "t/x", "admin")
    for key, lease in (("t/1", 600), ("t/2", 600)):
        await alice("claim", key, seconds(lease))
    kept = await bob("claim", "t/3", seconds(600))
    for caller in (alice, both):
        await caller("subscribe", ["alice"], ["t/**"])
    channel = await both("subscribe", ["bob"], ["t/**"])
    assert min((await _left(superuser, "alice")).values()) >= 1
    await root("drop_agent", "alice")

    assert set((await _left(superuser, "alice")).values()) == {0}
    orphans = "select count(*) from pgstate.claim where holder = 'alice'"
    assert await superuser.fetchval(orphans) == 0
    assert [r["channel"] for r in await superuser.fetch("select channel from pgstate.watcher")] == [channel]
    # the same denial as for anybody who is not registered, and for a name that never was
    said = await alice.refuses(
        "PS010", "me()", "get('t/1')", "put('t/1', '9')", "list()", "info()", "claim('t/1', '1 s')"
    )
    said |= await both.refuses("PS010", "me('alice')", "me('nobody')", "get('memory/alice/secret', 'alice')")
    said |= await root.refuses("PS010", "me('alice')")
    assert len(said) == 1
    # what it held is free, what others hold is theirs
    assert [(c["key"], c["holder"]) for c in await root.rows("list_claims")] == [("t/3", "bob")]
    taken = await bob("claim", "t/1", seconds(60))
    assert (taken["status"], taken["attempts"]) == ("ok", 2)
    assert (await bob("put", "t/3", 4, token=kept["token"]))["status"] == "ok"
    # history tells it all, and who granted what
    assert [v["writer"] for v in await root.rows("history", "t/1")] == ["alice"]
    assert (await root("get", "memory/alice/secret"))["value"] == "hers"
    assert {g["granted_by"] for g in await bob.rows("grants")} == {"admin", "alice"}
    assert [a["name"] for a in await root.rows("agents")] == ["admin", "bob"]
    assert database.sql(f"select rolcanlogin from pg_roles where rolname = '{login}'") == [(True,)]
    # the login can be another's now
    await root("create_agent", "carol", login)
    assert await alice("me") == "carol"
    await alice.refuses("PS010", "get('memory/alice/secret')", "get('t/1')")


@pytest.mark.every_version
async def test_what_a_dropped_agent_claims_yet_is_given_back_when_asked_again(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read t/**", "write t/**")
    await root.rows("put_many", [f"t/{n}" for n in range(1, 5)], [1] * 4)
    held = [await alice("claim", key, seconds(600)) for key in ("t/3", "t/4")]
    async with alice.transaction(isolation="repeatable_read"):
        # it keeps the row of one claim locked, and has one that nobody sees yet; what it does afterwards is refused
        assert (await alice("renew", "t/3", held[0]["token"], seconds(86400)))["status"] == "ok"
        assert (await alice("claim", "t/1", seconds(86400)))["status"] == "ok"
        await root("drop_agent", "alice")
        with refused("40001"):
            async with alice.transaction():
                await alice("claim", "t/2", seconds(86400))
    await alice.refuses("PS010", "me()")
    assert [(c["key"], c["holder"]) for c in await root.rows("list_claims")] == [("t/1", "alice"), ("t/3", "alice")]
    await root("create_agent", "alice", reuse=True)
    await root("grant_access", "alice", "t/**", "read")
    await root("grant_access", "alice", "t/**", "write")
    mine = await root("claim", "t/2", seconds(60))
    await root("drop_agent", "alice")
    await root("drop_agent", "alice")
    assert [(c["key"], c["holder"]) for c in await root.rows("list_claims")] == [("t/2", "admin")]
    assert (await root("put", "t/2", 2, token=mine["token"]))["status"] == "ok"
    assert (await root("claim", "t/1", seconds(60)))["status"] == "ok"
    await root.refuses("PS007", "drop_agent('alise')")


@pytest.mark.every_version
async def test_the_name_of_a_dropped_agent_is_not_given_away_by_mistake(
    root: Caller, agent: MakeAgent, session: MakeAgent, login_name: Callable[[str], str]
) -> None:
    alice = await agent("alice", "read t/**")
    await alice("put", "memory/alice/secret", "hers", op_id="once")
    await root("drop_agent", "alice")
    login = login_name("alice")
    said = await root.refuses("PS007", "create_agent('alice')", f"create_agent('alice', '{login}')")
    assert len(said) == 1 and "could read memory/alice/**" in said.pop()
    assert not await root.fetchval("select exists (select from pg_roles where rolname = $1)", login)
    await root("create_agent", "alice", login, reuse=True)
    again = await session(login)
    # told to: the memory, and nothing else that the old one had
    assert (await again("get", "memory/alice/secret"))["value"] == "hers"
    await again.refuses("PS010", "get('t/1')")
    assert [g["subtree"] for g in await again.rows("grants")] == ["memory/{agent}/**"] * 2
    # an op_id of the old one's is not the new one's
    assert (await again("put", "memory/alice/secret", "mine", op_id="once"))["version"] == 2
    await root.refuses("PS007", "create_agent('alice')", "create_agent('alice', reuse => true)")
    await root("drop_agent", "alice")
    await root.refuses("PS007", "create_agent('alice')", "grant_access('alice', 't/**', 'read')")
    reader = login_name("reader")
    await root("create_reader", reader, "t/**")
    await root("drop_agent", reader)
    await root.refuses("PS007", f"create_reader('{reader}', 't/**')", f"create_agent('{reader}')")
    await root("create_reader", reader, "t/1", reuse=True)
    assert [g["subtree"] for g in await root.rows("grants") if g["agent"] == reader] == ["t/1"]


@pytest.mark.every_version
async def test_an_agent_moves_to_another_login(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, session: MakeAgent, login_name: Callable[[str], str]
) -> None:
    superuser = await session("postgres")
    alice = await agent("alice", "read t/**")
    bob = await agent("bob")
    old = await alice.fetchval("select session_user::text")
    both = await gateway("alice")
    await root("put", "t/1", 1)
    for caller in (alice, both):
        await caller("subscribe", ["alice"], ["t/**"])
    new = login_name("moved")
    await root("set_login", "alice", new)
    await root("set_login", "alice", new)
    moved = await session(new)
    assert ((await moved("info"))["agent"], (await moved("get", "t/1"))["value"]) == ("alice", 1)
    await alice.refuses("PS010", "me()", "get('t/1')")
    assert await both("me", "alice") == "alice"
    # its watches through the old login end, and those through the gateway go on
    assert [r["login"] for r in await superuser.fetch("select login from pgstate.watcher")] == [
        await both.fetchval("select session_user::text")
    ]
    assert {a["name"]: a["login"] for a in await root.rows("agents")}["alice"] == new
    taken = [
        await bob.fetchval("select session_user::text"),
        await both.fetchval("select session_user::text"),
        "installer",
    ]
    await root.refuses(
        "PS007", *(f"set_login('alice', '{login}')" for login in (*taken, "", "pgstate_owner")), "set_login('nobody', null)",
        "set_login('admin', null)", f"set_login('admin', '{login_name('admin')}')",
    )  # fmt: skip
    assert await moved("me") == "alice"
    await root("set_login", "alice", None)
    await moved.refuses("PS010", "me()")
    assert await both("me", "alice") == "alice"
    assert {a["name"]: a["login"] for a in await root.rows("agents")}["alice"] is None
    # the role that it had is free again
    await root("set_login", "bob", old)
    assert await alice("me") == "bob"


@pytest.mark.every_version
async def test_a_gateway_goes_and_its_agents_stay(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, session: MakeAgent, database: Database
) -> None:
    superuser = await session("postgres")
    alice = await agent("alice", "read t/**", "write t/**")
    one, two = await gateway("alice"), await gateway("alice")
    await root("put", "t/1", 1)
    claim = await one("claim", "t/1", seconds(60), agent="alice")
    for caller in (one, two):
        await caller("subscribe", ["alice"], ["t/**"])
    first, second = [await caller.fetchval("select session_user::text") for caller in (one, two)]
    await root("drop_gateway", first)
    await one.refuses("PS010", "info()", "me('alice')", "get('t/1', 'alice')", "subscribe('{alice}', '{\"\"}')")
    assert await two("me", "alice") == "alice"
    assert [r["login"] for r in await superuser.fetch("select login from pgstate.watcher")] == [second]
    assert [(a["name"], a["gateways"]) for a in await root.rows("agents")] == [("admin", []), ("alice", [second])]
    assert (await alice("put", "t/1", 2, token=claim["token"]))["status"] == "ok"
    assert database.sql(f"select rolcanlogin from pg_roles where rolname = '{first}'") == [(True,)]
    own = await alice.fetchval("select session_user::text")
    await root.refuses(
        "PS007", *(f"drop_gateway('{login}')" for login in (first, own, "installer", "nobody")), "drop_gateway(null)"
    )
    await root("create_gateway", first)
    # none of its delegations came back with it
    await one.refuses("PS010", "me('alice')")


@pytest.mark.every_version
async def test_only_an_administrator_removes_and_moves(
    root: Caller, agent: MakeAgent, login_name: Callable[[str], str]
) -> None:
    boss = await agent("boss", "read **", "write **", "admin team/**")
    await agent("carol")
    login = login_name("new")
    said = await boss.refuses(
        "PS010", "drop_agent('carol')", "drop_agent('nobody')", "drop_agent('admin')", "drop_agent('boss')",
        "drop_gateway('nobody')", "set_login('carol', null)", f"set_login('carol', '{login}')", "_set_login('carol', null)",
    )  # fmt: skip
    assert len(said) == 1
    assert not await root.fetchval("select exists (select from pg_roles where rolname = $1)", login)
    await root("grant_access", "boss", "**", "admin")
    await root.refuses("PS007", "drop_agent('admin')", "drop_agent('nobody')", "drop_agent(null)")
    # the right in pgstate is there, but not the right to make roles
    await boss.refuses("42501", f"set_login('carol', '{login}')")
    await boss("set_login", "carol", None)
    await boss("drop_agent", "carol")
    await boss("drop_agent", "boss")
    await boss.refuses("PS010", "me()")
    assert [a["name"] for a in await root.rows("agents")] == ["admin"]


async def test_where_plpgsql_is_strict(admin: asyncpg.Connection) -> None:
    """As its documentation advises for development: a record of other columns than what is assigned is an error then."""
    await admin.execute("set plpgsql.extra_errors = 'all'")
    await admin.execute("select pgstate.create_agent('alice')")
    await admin.execute("select pgstate.grant_access('alice', 'a/**', 'read')")
    assert await admin.fetchval("select status from pgstate.put('a/b', '1')") == "ok"
