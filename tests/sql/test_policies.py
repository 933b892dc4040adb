"""Policies: which setting holds for a key, who may set and see them, and reducers that an administrator registers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from _server import SUPERUSER
from _sync import wait_until_blocked
from sql._caller import Caller, MakeAgent, refused, seconds


async def _said(caller: Caller, call: str) -> tuple[Any, ...]:
    """All that a refusal says."""
    with pytest.raises(asyncpg.PostgresError) as caught:
        await caller.fetch(f"select * from pgstate.{call}")
    error = caught.value
    return error.sqlstate, error.message, error.detail, error.hint


async def explained(caller: Caller, key: str) -> dict[str, tuple[Any, str | None]]:
    return {row["setting"]: (row["value"], row["subtree"]) for row in await caller.rows("explain_policy", key)}


async def policy_of(inside: Caller, key: str) -> tuple[Any, ...]:
    row = await inside.fetch("select reducer, ttl, value_limit, schema from pgstate._policy_of($1)", key)
    return tuple(row[0])


@pytest.fixture
async def inside(root: Caller, session: MakeAgent) -> Caller:
    """A superuser: what the write path calls is internal."""
    return await session(SUPERUSER)


@pytest.mark.core
async def test_the_nearest_subtree_decides_each_setting_by_itself(root: Caller, inside: Caller) -> None:
    await root("set_policy", "**", reducer="append", keep="30 days")
    await root("set_policy", "a/**", ttl=seconds(60), value_limit=1000)
    await root("set_policy", "a/b/**", reducer="add", schema={"type": "number"})
    await root("set_policy", "a/b", keep="3 versions", value_limit=500)
    assert await explained(root, "a/b") == {
        "reducer": ("add", "a/b/**"), "ttl": ("00:01:00", "a/**"), "keep": ("3 versions", "a/b"),
        "value_limit": (500, "a/b"), "schema": ({"type": "number"}, "a/b/**"),
        "max_attempts": (None, None), "backoff": ("00:00:01", None), "backoff_limit": ("00:05:00", None),
        "dead_letter": (None, None), "claimed_writes": (False, None), "guard": ("refuse", None), "trust": (None, None),
    }  # fmt: skip
    assert await policy_of(inside, "a/b") == ("add", seconds(60), 500, {"type": "number"})
    assert await policy_of(inside, "a/b/c/d") == ("add", seconds(60), 1000, {"type": "number"})
    # a name that begins alike is another name
    assert await policy_of(inside, "a/bc") == ("append", seconds(60), 1000, None)
    assert await policy_of(inside, "ab") == ("append", None, None, None)
    assert (await explained(root, "ab"))["value_limit"] == (1048576, None)
    keep = "select versions, age from pgstate._keep_of($1)"
    assert [tuple((await inside.fetch(keep, key))[0]) for key in ("a/b", "a/b/c", "x")] == [
        (3, None), (None, seconds(30 * 86400)), (None, seconds(30 * 86400)),
    ]  # fmt: skip


async def test_what_is_told_of_a_policy_does_not_depend_on_the_session(root: Caller) -> None:
    await root("set_policy", "a/**", ttl=seconds(90), keep="1 mon 2 days", backoff=seconds(2))
    for style in ("postgres", "postgres_verbose", "sql_standard", "iso_8601"):
        await root.execute(f"set intervalstyle = {style}")
        told = await explained(root, "a/b")
        assert [told[name][0] for name in ("ttl", "keep", "backoff", "backoff_limit")] == [
            "00:01:30", "1 mon 2 days", "00:00:02", "00:05:00",
        ]  # fmt: skip
        assert [row["keep"] for row in await root.rows("policies")] == ["1 mon 2 days"]


@pytest.mark.core
async def test_a_nearer_policy_can_take_a_setting_back(root: Caller, inside: Caller) -> None:
    await root("set_policy", "**", ttl=seconds(60), keep="1 version", schema=False, value_limit=100, reducer="add")
    await root(
        "set_policy", "a/**", ttl=seconds(0), keep="everything", schema=True, value_limit=1048576, reducer="replace"
    )
    assert await policy_of(inside, "a/x") == ("replace", None, 1048576, True)
    assert (await explained(root, "a"))["ttl"] == ("none", "a/**")
    assert tuple((await inside.fetch("select * from pgstate._keep_of('a/x')"))[0]) == (None, None)
    assert await policy_of(inside, "b") == ("add", seconds(60), 100, False)


@pytest.mark.core
async def test_setting_again_changes_what_is_given_and_dropping_takes_what_is_named(
    root: Caller, inside: Caller
) -> None:
    flag = "select policies from pgstate.install"
    assert await inside.fetchval(flag) is False
    assert await policy_of(inside, "a/x") == (None, None, None, None)
    await root("set_policy", "a/**", reducer="add", keep="5")
    await root("set_policy", "a/**", keep="2 days", ttl=seconds(5))
    assert await inside.fetchval(flag) is True
    (row,) = await root.rows("policies")
    assert tuple(row)[:6] == ("a/**", "add", seconds(5), "2 days", None, None)
    assert row["set_by"] == "admin"
    await root("drop_policy", "a/**", ["reducer", "keep"])
    (row,) = await root.rows("policies")
    assert tuple(row)[:6] == ("a/**", None, seconds(5), None, None, None)
    await root.refuses("PS002", "drop_policy('a/*')", "drop_policy(null)")
    await root.refuses(
        "PS007", "drop_policy('a')", "drop_policy('a/**', '{reducer}')", "drop_policy('a/**', '{}')", "drop_policy('a/**', '{x}')",
        "drop_policy('a/**', array[null])",
    )  # fmt: skip
    await root("drop_policy", "a/**", ["ttl"])
    assert await root.rows("policies") == []
    assert await inside.fetchval(flag) is False
    await root("set_policy", "a/**", value_limit=5)
    await root("set_policy", "b/**", value_limit=5)
    await root("drop_policy", "a/**")
    assert await inside.fetchval(flag) is True
    await root.refuses("PS007", "drop_policy('a/**')")


@pytest.mark.core
async def test_what_cannot_be_a_policy_is_refused(root: Caller) -> None:
    for subtree in ("a/*", "*", "a/**/b", "", "/a", "a b", "a/{agent}/**", "{agent}", "a/../b/**", "**/**"):
        await root.refuses("PS002", f"set_policy('{subtree}', reducer => 'add')")
    await root.refuses("PS002", "set_policy(null, reducer => 'add')")
    await root.refuses("PS005", "set_policy('a', 'sum')", "set_policy('a', '')")
    said = await root.refuses(
        "PS007", "set_policy('a')", "set_policy('a', ttl => '-1 s')", "set_policy('a', ttl => '200 years')",
        "set_policy('a', keep => '0')", "set_policy('a', keep => '0 versions')", "set_policy('a', keep => '-3')",
        "set_policy('a', keep => 'some')", "set_policy('a', keep => '')", "set_policy('a', keep => '99999999999 versions')",
        "set_policy('a', keep => '0 s')", "set_policy('a', keep => '-1 day')", "set_policy('a', keep => '1000 years')",
        "set_policy('a', value_limit => 0)", "set_policy('a', value_limit => 1048577)",
    )  # fmt: skip
    assert len(said) > 5
    assert "everything, a number of versions" in (await _said(root, "set_policy('a', keep => 'some')"))[3]
    _, message, _, hint = await _said(root, """set_policy('a', schema => '{"properties": {"n": {"pattern": "x"}}}')""")
    assert message == 'schema: #/properties/n: the keyword "pattern" is not supported'
    assert "JSON Schema 2020-12" in hint
    assert await root.rows("policies") == []


@pytest.mark.core
async def test_the_largest_value_is_at_most_the_installations(root: Caller, inside: Caller) -> None:
    await root("set_policy", "a", value_limit=1048576)
    await inside.execute("update pgstate.install set value_limit = 2048")
    assert (await explained(root, "a"))["value_limit"] == (2048, "a")


@pytest.mark.core
async def test_admin_on_a_subtree_sets_policies_inside_it_and_never_wider(root: Caller, agent: MakeAgent) -> None:
    await root("set_policy", "a/b/**", reducer="add")
    await root("set_policy", "c/**", reducer="add")
    alice = await agent("alice", "admin a/b/**", "read c/d", "write e/**")
    nobody = await agent("bob", "read a/b/**", "write a/b/**", "read c/**", "write c/**")
    await alice("set_policy", "a/b/**", keep="5 versions")
    await alice("set_policy", "a/b", ttl=seconds(5))
    await alice("set_policy", "a/b/c/d", schema={"type": "object"})
    await alice("drop_policy", "a/b/c/d")
    outside = ("**", "a/**", "a", "a/b-c", "a/bc/**", "c/**", "c/d", "none/**", "e/**", "a/{agent}/**", "{agent}/**")
    said = {await _said(alice, f"set_policy('{subtree}', reducer => 'add')") for subtree in outside}
    said |= {await _said(alice, f"drop_policy('{subtree}')") for subtree in outside}
    # bad settings and the schemas that others have change nothing of it
    said |= {await _said(alice, f"set_policy('{subtree}')") for subtree in outside}
    said |= {await _said(alice, f"set_policy('{s}', 'sum', '-1 s', 'x', 0, '\"x\"')") for s in outside}
    said |= {await _said(alice, f"drop_policy('{subtree}', '{{reducer}}')") for subtree in outside}
    said |= {await _said(nobody, f"set_policy('{subtree}', reducer => 'add')") for subtree in ("a/b/**", "c/**", "**")}
    said |= {await _said(nobody, f"drop_policy('{subtree}')") for subtree in ("a/b/**", "c/**", "none/**", "**")}
    # the whole installation's reducers are not a matter of one subtree
    call = "register_reducer('mine', 'pg_catalog.jsonb_concat(jsonb, jsonb)'::regprocedure)"
    said |= {
        await _said(alice, call),
        await _said(alice, "drop_reducer('mine')"),
        await _said(alice, "drop_reducer('none')"),
    }
    assert said == {await _said(alice, "get('hidden/x')")}
    assert {row["subtree"] for row in await root.rows("policies")} == {"a/b/**", "a/b", "c/**"}


@pytest.mark.core
async def test_policies_are_seen_by_those_whose_keys_they_hold_for(root: Caller, agent: MakeAgent) -> None:
    for subtree in ("**", "a/**", "a/b/**", "a/b/s3cr3t", "hid/**", "a-b/**"):
        await root("set_policy", subtree, reducer="add")
    reader, writer, chief = (
        await agent("r", "read a/b/c/**"),
        await agent("w", "write a/b/c"),
        await agent("c", "admin hid/x/**"),
    )
    # what lies beside is not named
    for who in (reader, writer):
        seen = {row["subtree"] for row in await who.rows("policies")} - {"**"}
        assert seen == {"a/**", "a/b/**"}
    assert {row["subtree"] for row in await chief.rows("policies")} == {"**", "hid/**"}
    for who in (reader, writer):
        assert (await explained(who, "a/b/c"))["reducer"] == ("add", "a/b/**")
    await root("put", "hid/there", 1)
    said = {
        await _said(reader, f"explain_policy('{key}')") for key in ("hid/there", "hid/none", "a/b/s3cr3t", "a/b", "x")
    }
    said |= {await _said(chief, f"explain_policy('{key}')") for key in ("hid/there", "hid/none")}
    assert said == {await _said(reader, "get('hid/none')")}
    await reader.refuses("PS001", "explain_policy('a//b')", "explain_policy(null)", "explain_policy('a/**')")


@pytest.mark.core
async def test_a_login_that_nobody_registered_is_refused(
    root: Caller, session: MakeAgent, login_name: Any, gateway: MakeAgent
) -> None:
    member = login_name("member")
    await root.execute(f'create role "{member}" login in role pgstate_agent')
    nobody, both = await session(member), await gateway()
    calls = ("set_policy('a', 'add')", "drop_policy('a')", "policies()", "explain_policy('a')", "drop_reducer('a')",
             "register_reducer('a', 'pg_catalog.jsonb_concat(jsonb, jsonb)')")  # fmt: skip
    await nobody.refuses("PS010", *calls, "maintain()")
    await both.refuses("PS010", *calls)


# -- reducers

_FUNCTIONS = """
create schema own;
grant usage on schema own to pgstate_api, {};
create function own.longest(a jsonb, b jsonb) returns jsonb language sql immutable
  as $$ select case when length(a #>> '{{}}') >= length(b #>> '{{}}') then a else b end $$;
create function own.strictly(a jsonb, b jsonb) returns jsonb language sql immutable strict as $$ select a || b $$;
create function own.atomic(a jsonb, b jsonb) returns jsonb language sql immutable begin atomic select b; end;
create function own.fails(a jsonb, b jsonb) returns jsonb language plpgsql immutable
  as $$ begin raise exception 'it was %', a; end $$;
create function own.nothing(a jsonb, b jsonb) returns jsonb language sql immutable as $$ select null::jsonb $$;
create function own.moody(a jsonb, b jsonb) returns jsonb language sql stable as $$ select b $$;
create function own.mighty(a jsonb, b jsonb) returns jsonb language sql immutable security definer as $$ select b $$;
create function own.other(a jsonb, b text) returns jsonb language sql immutable as $$ select a $$;
create function own.texts(a jsonb, b jsonb) returns text language sql immutable as $$ select '' $$;
create function own.several(a jsonb, b jsonb) returns setof jsonb language sql immutable as $$ select b $$;
create aggregate own.last(jsonb, jsonb) (sfunc = own.three, stype = jsonb);
create function own.shut(a jsonb, b jsonb) returns jsonb language sql immutable as $$ select b $$;
revoke all on function own.shut(jsonb, jsonb) from public;
create schema closed;
create function closed.fine(a jsonb, b jsonb) returns jsonb language sql immutable as $$ select b $$;
grant usage on schema closed to {};
create function pg_temp.gone(a jsonb, b jsonb) returns jsonb language sql immutable as $$ select b $$;
"""


@pytest.fixture
async def own(inside: Caller) -> Caller:
    """A superuser with functions of the application's."""
    three = (
        "create function own.three(s jsonb, a jsonb, b jsonb) returns jsonb language sql immutable as $$ select a $$;\n"
    )
    text = _FUNCTIONS.format("installer", "installer").replace("create aggregate", three + "create aggregate")
    await inside.execute(text)
    return inside


async def _register(root: Caller, name: str, function: str) -> None:
    await root.fetch("select pgstate.register_reducer($1, $2::text::regprocedure)", name, f"{function}(jsonb, jsonb)")


async def _reduced(own: Caller, *arguments: Any) -> Any:
    return await own.fetchval("select pgstate._reduce_by($1, $2, $3)", *arguments)


@pytest.mark.core
async def test_a_registered_reducer_is_applied(root: Caller, own: Caller) -> None:
    for name in ("longest", "strictly", "atomic", "fails", "nothing"):
        await _register(root, name, f"own.{name}")
        await root("set_policy", "a/**", reducer=name)
    assert await _reduced(own, "longest", "abc", "ab") == "abc"
    assert await _reduced(own, "longest", None, "ab") == "ab"
    assert await _reduced(own, "strictly", [1], [2]) == [1, 2]
    # as with the built-in ones
    assert await _reduced(own, "strictly", None, [2]) == [2]
    assert await _reduced(own, "atomic", 1, 2) == 2
    assert await _reduced(own, "add", 1, 2) == 3
    # does not fit, in whichever way it says so; and no name, no function
    for name in ("fails", "nothing", "none", None):
        assert await _reduced(own, name, 1, 2) is None
    assert (await explained(root, "a/x"))["reducer"] == ("nothing", "a/**")
    # callers choose no code: whoever names one that is registered is told how it is used
    await root("set_policy", "a/**", reducer="longest")
    assert (await root("merge", "a/x", "ab"))["status"] == "ok"
    said = await root.refuses("PS005", """merge('a/x', '"abc"', 'longest')""")
    assert "where a policy names it" in str(said)


@pytest.mark.core
async def test_only_what_was_registered_is_run(root: Caller, own: Caller) -> None:
    for name in ("longest", "atomic"):
        await _register(root, name, f"own.{name}")
    await own.execute(
        "create or replace function own.longest(a jsonb, b jsonb) returns jsonb language sql immutable as 'select b'"
    )
    await own.execute(
        "create or replace function own.atomic(a jsonb, b jsonb) returns jsonb language sql immutable begin atomic select a; end"
    )
    assert await _reduced(own, "longest", "abc", "ab") is None
    assert await _reduced(own, "atomic", 1, 2) is None
    await _register(root, "longest", "own.longest")
    assert await _reduced(own, "longest", "abc", "ab") == "ab"
    await own.execute("alter function own.longest(jsonb, jsonb) security definer")
    assert await _reduced(own, "longest", "abc", "ab") is None
    # a merge says what is the matter, and not only that something does not fit
    for name in ("atomic", "longest", "fails"):
        if name == "fails":
            await _register(root, name, "own.fails")
        await root("set_policy", "a/**", reducer=name)
        why = f"reducer {name} gave no value" if name == "fails" else f"reducer {name} has changed or is gone"
        assert why in (await root.refuses("PS006", "merge('a/x', '1')")).pop()
    await own.execute("drop function own.longest(jsonb, jsonb)")
    assert await _reduced(own, "longest", "abc", "ab") is None


@pytest.mark.core
async def test_what_cannot_be_a_reducer_is_refused(root: Caller, own: Caller) -> None:
    functions = {
        "own.moody(jsonb, jsonb)": "IMMUTABLE", "own.mighty(jsonb, jsonb)": "SECURITY DEFINER", "own.other(jsonb, text)": "jsonb, jsonb",
        "own.texts(jsonb, jsonb)": "jsonb, jsonb", "own.several(jsonb, jsonb)": "jsonb, jsonb", "own.last(jsonb, jsonb)": "jsonb, jsonb",
        "own.shut(jsonb, jsonb)": "GRANT", "closed.fine(jsonb, jsonb)": "GRANT",
    }  # fmt: skip
    for function, why in functions.items():
        oid = await own.fetchval("select $1::text::regprocedure::oid", function)
        said = await root.refuses("PS007", f"register_reducer('mine', {oid}::oid::regprocedure)")
        assert why in said.pop()
    await own.refuses("PS010", "register_reducer('mine', 'own.longest(jsonb, jsonb)')")
    temporary = await own.fetchval("select 'pg_temp.gone(jsonb, jsonb)'::regprocedure::oid")
    ours = "'pgstate._deep_merge(jsonb, jsonb, int)'"
    await root.refuses("PS007", f"register_reducer('mine', {temporary}::oid::regprocedure)", f"register_reducer('mine', {ours})",
                       "register_reducer('mine', 4000000000::oid::regprocedure)", "register_reducer('mine', null)")  # fmt: skip
    fine = "'own.longest(jsonb, jsonb)'"
    names = ("add", "deep_merge", "first", "", "1x", "Mine", "a-b", "x" * 64)
    await root.refuses(
        "PS007", *(f"register_reducer('{name}', {fine})" for name in names), f"register_reducer(null, {fine})"
    )


@pytest.mark.core
async def test_a_reducer_in_use_stays(root: Caller, own: Caller, session: MakeAgent) -> None:
    await _register(root, "mine", "own.longest")
    other = await session()
    async with root.transaction():
        await root("set_policy", "a/**", reducer="mine")
        task = asyncio.ensure_future(other("drop_reducer", "mine"))
        await wait_until_blocked(own.connection, other.pid)
    with refused("PS007"):
        await task
    await root.refuses("PS007", "drop_reducer('mine')", "drop_reducer('none')", "drop_reducer(null)")
    await root("set_policy", "a/**", reducer="add")
    await root("drop_reducer", "mine")
    await root.refuses("PS005", "set_policy('a/**', 'mine')")
    assert await _reduced(own, "mine", "abc", "ab") is None


async def test_two_who_set_policies_at_once_wait_for_each_other(root: Caller, session: MakeAgent) -> None:
    one, two = await session(), await session()
    async with one.transaction():
        await one("set_policy", "a/**", keep="2 days")
        task = asyncio.ensure_future(two("set_policy", "b/**", keep="3 days"))
        await wait_until_blocked(root.connection, two.pid)
    await task
    assert [row["keep"] for row in await root.rows("policies")] == ["2 days", "3 days"]
    delays = await (await session(SUPERUSER)).fetch("select delay from pgstate.sweep order by 1")
    assert [row["delay"] for row in delays] == [seconds(0), seconds(2 * 86400), seconds(3 * 86400)]


async def test_a_look_up_costs_the_same_however_many_policies_there_are(root: Caller, inside: Caller) -> None:
    await root("set_policy", "a/b/**", reducer="add")

    async def buffers() -> int:
        plan = await inside.fetchval("explain (analyze, buffers, format json) select pgstate._policy_of('a/b/c/d')")
        (top,) = json.loads(plan)
        return int(top["Plan"]["Shared Hit Blocks"] + top["Plan"]["Shared Read Blocks"])

    for _ in range(3):
        few = await buffers()
    await inside.execute(
        "insert into pgstate.policy (subtree, nearness, ttl, set_by)"
        " select 's/' || n || '/**', 4, '1 day', 'admin' from generate_series(1, 20000) n"
    )
    for _ in range(3):
        many = await buffers()
    # an index of more levels, for each of six subtrees
    assert many <= few + 18
