"""The past tells an agent no more than the present: hidden keys, tampered states, and what going back may reach."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conftest import Clock, Database
from security.test_catalogue import _WRONG
from sql._caller import Caller, MakeAgent, refused
from sql.test_as_of import tick

SECRET = "hid/s3cr3t-name"
MISSING = "hid/none"


@pytest.fixture
async def victim(root: Caller) -> Caller:
    await root.rows("put_many", [SECRET, "hid/gone", "a/b-secret", "a/b/1"], ["s3cr3t-value"] * 4)
    await root("delete", "hid/gone")
    return root


@pytest.fixture
async def mallory(victim: Caller, agent: MakeAgent) -> Caller:
    return await agent("mallory", "read a/b/**", "write a/b/**", "read ro/**", "write wo/**")


@pytest.mark.every_version
async def test_hidden_and_missing_are_denied_alike(mallory: Caller, clock: Clock) -> None:
    at = f"at => '{(await tick(mallory, clock)).isoformat()}'"
    cursor = f"cursor => '{await mallory('cursor')}'"
    said = await mallory.refuses(
        "PS010",
        *(
            f"get_as_of('{key}', {when})"
            for key in (SECRET, MISSING, "hid/gone", "a/b-secret", "wo/1")
            for when in (cursor, at, "1", "99")
        ),
        *(
            f"list_as_of('{pattern}', {when})"
            for pattern in ("hid/**", SECRET, MISSING, "none/*", "wo/**")
            for when in (cursor, at)
        ),
        *(
            f"rollback('{pattern}', {when}, dry_run => {dry})"
            for pattern in ("hid/**", SECRET, MISSING, "hid/gone", "none/*", "wo/**", "wo/1", "ro/1", "ro/**")
            for when in (cursor, at, *(() if "*" in pattern else ("version => 1", "version => 99")))
            for dry in ("true", "false")
        ),
        f"get_as_of('{SECRET}', 1, agent => 'admin')",
        f"rollback('{SECRET}', 1, agent => 'admin')",
    )
    assert len(said) == 1
    for setting in ("pgstate.agent", "pgstate.call_agent"):
        await mallory.execute("select set_config($1, 'admin', false)", setting)
    await mallory.refuses("PS010", f"get_as_of('{SECRET}', 1)", f"rollback('{SECRET}', 1)")


@pytest.mark.every_version
async def test_what_is_told_is_granted(mallory: Caller, victim: Caller, clock: Clock) -> None:
    at = await tick(mallory, clock)
    cursor = await mallory("cursor")
    await victim.rows("delete_many", ["a/b/1", SECRET])
    for when in ({"cursor": cursor}, {"at": at}):
        for pattern in ("", "**", "*/**", "**/1", "a/**", "**/s3cr3t-name"):
            rows = await mallory.rows("list_as_of", pattern, **when)
            assert {row["key"] for row in rows} <= {"a/b/1"}
            plan = await mallory.rows("rollback", pattern, dry_run=True, **when)
            assert {row["key"] for row in plan} <= {"a/b/1"}
    assert [row["key"] for row in await mallory.rows("rollback", "", at=at)] == ["a/b/1"]
    assert (await victim("get", SECRET))["status"] == "missing"
    (version, *_) = await victim.rows("history", "a/b/1")
    assert (version["writer"], version["via"]) == ("mallory", await mallory.fetchval("select session_user::text"))


@pytest.mark.every_version
async def test_tampered_states(mallory: Caller, victim: Caller) -> None:
    cursor = await mallory("cursor")
    await victim("put", "a/b/1", 2)
    head, snapshot = cursor.rsplit(".", 1)
    identity, epoch, timeline = head.split(".")[1:]
    top = int(snapshot.split(":")[1])
    calls = [
        "get_as_of('a/b/1', cursor => '{}')",
        "list_as_of('', cursor => '{}')",
        "rollback('', cursor => '{}', dry_run => true)",
    ]
    for code, token in (
        ("PS020", ""), ("PS020", "1"), ("PS020", head), ("PS020", cursor + "."), ("PS020", "2" + cursor[1:]),
        ("PS020", f"{head}.5:4:"), ("PS020", f"{head}.{top}:{top}:{top}"), ("PS020", f"{head}.0:0:"), ("PS020", cursor + "; drop"),
        # of the future
        ("PS020", f"{head}.{top + 1000}:{top + 1000}:"), ("PS020", f"{head}.{2**62}:{2**62}:"), ("PS020", f"{head}.3:{2**62}:"),
        ("PS020", f"{cursor}.{top + 1000}:{top + 1000}:.1.1"), ("PS020", f"{cursor}.3:3:.1.1"),
        # of another history
        ("PS021", f"1.{identity}.{int(epoch) + 1}.{timeline}.{snapshot}"), ("PS021", f"1.{identity}.0.{timeline}.{snapshot}"),
        ("PS021", f"1.1{identity}.{epoch}.{timeline}.{snapshot}"), ("PS021", f"1.{identity}.{epoch}.0000002A.{snapshot}"),
    ):  # fmt: skip
        await mallory.refuses(code, *(call.format(token.replace("'", "''")) for call in calls))
    # well-formed ones that never were: some state of what is granted, and nothing else
    latest = (await mallory("cursor")).rsplit(".", 1)[1]
    for token in (
        f"{head}.3:3:",
        f"{head}.3:{top}:{','.join(str(n) for n in range(3, top))}",
        f"{head}.{snapshot}.{latest}.0.0",
        f"{head}.{snapshot}.{latest}.{10**17}.5",
    ):
        assert {row["key"] for row in await mallory.rows("list_as_of", cursor=token)} <= {"a/b/1"}
        assert (await mallory("get_as_of", "a/b/1", cursor=token))["value"] in (None, 2, "s3cr3t-value")
        await mallory.refuses("PS010", f"get_as_of('{SECRET}', cursor => '{token}')")


@pytest.mark.every_version
async def test_points_are_nobodys_to_make(mallory: Caller, database: Database) -> None:
    for call in ("_record_point()", "_point_at(now())", "_last_seen(1, '3:3:')", "_moment(null, null, now())"):
        with refused("42501"):
            await mallory.execute(f"select pgstate.{call}")
    login = await mallory.fetchval("select session_user::text")
    assert (
        database.sql(
            "select rolname from pg_roles where rolname = 'pgstate_api' and has_table_privilege(oid, 'pgstate.feed_point', 'select')"
        )
        == []
    )
    assert database.sql(f"select has_table_privilege('{login}', 'pgstate.feed_point', 'select')") == [(False,)]
    # expire() may be called, and as often as one likes: it records once
    before = database.sql("select count(*) from pgstate.feed_point")
    for _ in range(20):
        await mallory("expire")
    ((after,),), ((first,),) = database.sql("select count(*) from pgstate.feed_point"), before
    assert after <= first + 1


async def _buffers(caller: Caller, call: str) -> tuple[int, int]:
    for _ in range(3):
        text = await caller.fetchval(f"explain (analyze, buffers, format json) select * from pgstate.{call}")
    top = json.loads(text)[0]["Plan"]
    return top["Shared Hit Blocks"] + top["Shared Read Blocks"], top["Actual Rows"]


async def test_hidden_keys_cost_nothing(mallory: Caller, victim: Caller, clock: Clock) -> None:
    """Neither those that are there nor those that changed since, and whatever lies between the granted ones."""
    cursor = await mallory("cursor")
    calls = (
        f"list_as_of('', cursor => '{cursor}')",
        f"get_as_of('a/b/1', cursor => '{cursor}')",
        f"rollback('', cursor => '{cursor}', dry_run => true)",
    )
    before = [await _buffers(mallory, call) for call in calls]
    for _ in range(12):
        await victim.rows(
            "put_many", [f"{prefix}/{n}" for prefix in ("hid", "a/a", "a/c") for n in range(100)], [1] * 300
        )
    after = [await _buffers(mallory, call) for call in calls]
    for (few, rows), (many, again) in zip(before, after, strict=True):
        # an index may have grown by a level
        assert (again, many <= few + 15) == (rows, True), (before, after)


async def test_a_gateway_reads_the_past_of_one_agent_only(root: Caller, gateway: MakeAgent, agent: MakeAgent) -> None:
    await agent("alice", "read a/**", "write a/**")
    await agent("bob", "read b/**", "write b/**")
    both = await gateway("alice", "bob")
    await root.rows("put_many", ["a/1", "b/1"], [1, 2])
    cursor = await root("cursor")
    await root.rows("put_many", ["a/1", "b/1"], [10, 20])
    for name, own, other in (("alice", "a/1", "b/1"), ("bob", "b/1", "a/1")):
        assert [row["key"] for row in await both.rows("list_as_of", cursor=cursor, agent=name)] == [own]
        plan: list[Any] = await both.rows("rollback", "", cursor=cursor, dry_run=True, agent=name)
        assert [row["key"] for row in plan] == [own]
        await both.refuses(
            "PS010", f"get_as_of('{other}', 1, agent => '{name}')", f"rollback('{other}', 1, agent => '{name}')"
        )
    await both.refuses(
        "PS010", "get_as_of('a/1', 1)", "rollback('a/1', 1)", f"list_as_of('', cursor => '{cursor}', agent => 'admin')"
    )
    (done,) = await both.rows("rollback", "a/1", 1, agent="alice")
    assert (done["status"], (await root("history", "a/1", 1))["writer"]) == ("ok", "alice")
    assert (await root("get", "b/1"))["value"] == 20


@pytest.mark.every_version
async def test_a_function_that_forgets_every_check_is_still_bound(mallory: Caller, database: Database) -> None:
    database.sql(_WRONG)
    moment = "1, '3:9000000000:', null, null, null"
    for key, rows in ((SECRET, 0), ("hid/gone", 0), ("a/b/1", 1)):
        found = f"select from pgstate._then('{key}', 1, {moment}) union all select from pgstate._search('{key}', 9, {moment})"
        assert await mallory.fetchval("select pgstate.wrong($1)", found) == 2 * rows
        call = f"select pgstate._version_then('{key}', row({moment}, null)::pgstate._moment)"
        if rows:
            assert await mallory.fetchval("select pgstate.wrong($1)", call) == 1
        else:
            with refused("PS010"):
                await mallory.fetchval("select pgstate.wrong($1)", call)
    with refused("42501"):
        await mallory.fetchval("select pgstate.wrong('select from pgstate.feed_point')")
