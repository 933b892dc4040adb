"""Going back: by new versions, all or nothing, and only as the plan shows."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any
from uuid import uuid4

import pytest

from _cases import first_of
from _server import SUPERUSER
from _sync import wait_until_blocked
from conftest import Clock, Database
from sql._caller import NULL, Caller, MakeAgent, refused, seconds
from sql.test_as_of import tick

SHOWN = ("key", "status", "action", "version", "from_version", "to_version", "old_value", "new_value")


async def rollback(caller: Caller, pattern: str, **named: Any) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in SHOWN) for row in await caller.rows("rollback", pattern, **named)]


async def values(caller: Caller, pattern: str = "") -> dict[str, Any]:
    return {row["key"]: row["value"] for row in await caller.rows("list", pattern)}


@pytest.mark.core
async def test_a_key_to_one_of_its_versions(root: Caller) -> None:
    for value in (1, 2, NULL):
        await root("put", "k", value, priority=7)
    assert await rollback(root, "k", version=1, dry_run=True) == [("k", "ok", "put", None, 3, 1, NULL, 1)]
    assert (await root("get", "k"))["version"] == 3
    assert await rollback(root, "k", version=1) == [("k", "ok", "put", 4, 3, 1, NULL, 1)]
    entry = await root("get", "k")
    assert (entry["value"], entry["version"], entry["priority"]) == (1, 4, 7)
    # as it is already
    assert await rollback(root, "k", version=1) == [("k", "ok", "none", None, 4, 1, 1, 1)]
    assert await rollback(root, "k", version=4) == [("k", "ok", "none", None, 4, 4, 1, 1)]
    await root("delete", "k")
    assert await rollback(root, "k", version=3) == [("k", "ok", "put", 6, 0, 3, None, NULL)]
    # to a version that was a deletion
    assert await rollback(root, "k", version=5) == [("k", "ok", "delete", 7, 6, 0, NULL, None)]
    assert await rollback(root, "k", version=5) == [("k", "ok", "none", None, 0, 0, None, None)]
    history = [(v["version"], v["op"], v["value"], v["writer"]) for v in await root.rows("history", "k", 3)]
    assert history == [(7, "delete", None, "admin"), (6, "put", NULL, "admin"), (5, "delete", None, "admin")]
    for version in (8, 0, -1):
        with refused("PS007"):
            await root("rollback", "k", version)
    with refused("PS007"):
        await root("rollback", "none", 1)


@pytest.mark.core
async def test_a_subtree_to_a_cursor_and_to_a_time(root: Caller, clock: Clock) -> None:
    await root.rows("put_many", ["a/same", "a/changed", "a/deleted", "b/1"], [1, 2, 3, 4])
    at = await tick(root, clock)
    cursor = await root("cursor")
    before = await values(root)
    for when in ({"cursor": cursor}, {"at": at}):
        await root("put", "a/changed", 20)
        await root("put", "a/changed", 21)
        await root("delete", "a/deleted")
        await root("put", "a/new", 5)
        await root("put", "b/1", 40)
        changed, deleted, new = [
            (await root.rows("history", key, 1))[0]["version"] for key in ("a/changed", "a/deleted", "a/new")
        ]
        plan = [
            ("a/changed", "ok", "put", None, changed, 1, 21, 2),
            ("a/deleted", "ok", "put", None, 0, 1, None, 3),
            ("a/new", "ok", "delete", None, new, 0, 5, None),
        ]
        assert await rollback(root, "a/**", dry_run=True, **when) == plan
        done = [(*row[:3], version + 1, *row[4:]) for row, version in zip(plan, (changed, deleted, new), strict=True)]
        assert await rollback(root, "a/**", **when) == done
        assert await values(root, "a/**") == {key: value for key, value in before.items() if key[0] == "a"}
        assert (await root("get", "b/1"))["value"] == 40
        # nothing is left to do
        assert await rollback(root, "a/**", **when) == []
        assert [row[0] for row in await rollback(root, "**/1", **when)] == ["b/1"]
        assert await values(root) == before
    # a key that never was
    assert await rollback(root, "none", cursor=cursor) == []
    # its own undoing
    assert len(await rollback(root, "", cursor=await root("cursor"))) == 0


@pytest.mark.core("every case")
@pytest.mark.parametrize("seed", first_of(range(3)))
async def test_any_state_comes_back(root: Caller, seed: int) -> None:
    random_ = random.Random(seed)
    keys = [f"d{n % 3}/{n}" for n in range(9)]
    states = []
    for step in range(80):
        key = random_.choice(keys)
        choice = random_.random()
        if choice < 0.2:
            await root("delete", key)
        elif choice < 0.3 and states:
            state, cursor = random_.choice(states)
            pattern = random_.choice(["", "d0/**", key])
            now = await values(root)
            plan = await rollback(root, pattern, cursor=cursor, dry_run=True)
            done = await rollback(root, pattern, cursor=cursor)
            assert [(*row[:3], None, *row[4:]) for row in done] == plan
            within = {k for k in keys if pattern in ("", k) or (pattern == "d0/**" and k.startswith("d0/"))}
            now = {k: v for k, v in now.items() if k not in within} | {k: v for k, v in state.items() if k in within}
            assert await values(root) == now
        else:
            await root("merge", key, step, random_.choice(["add", "replace"]))
        states.append((await values(root), await root("cursor")))
    for key in keys:
        versions = [row["version"] for row in await root.rows("history", key, None)]
        assert versions == list(range(len(versions), 0, -1))


@pytest.mark.core
async def test_only_what_one_agent_wrote(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    rogue = await agent("rogue", "read a/**", "write a/**")
    await root.rows("put_many", ["a/1", "a/2", "a/3", "a/4"], [1, 2, 3, 4])
    cursor = await root("cursor")
    await rogue("put", "a/1", 10)
    await rogue("delete", "a/2")
    await rogue("put", "a/3", 30)
    await root("put", "a/3", 31)
    await root("put", "a/4", 40)
    await rogue("put", "a/5", 50)
    await rogue("put", "a/6", 60, ttl=seconds(5))
    await rogue("put", "a/1", 11, ttl=seconds(5))
    # an expiry is nobody's
    await clock.advance(6)
    await root("expire")
    plan = [
        ("a/1", "ok", "put", None, 0, 1, None, 1),
        ("a/2", "ok", "put", None, 0, 1, None, 2),
        ("a/3", "conflict", "put", None, 3, 1, 31, 3),
        ("a/5", "ok", "delete", None, 1, 0, 50, None),
    ]
    assert await rollback(root, "a/**", cursor=cursor, writer="rogue", dry_run=True) == plan
    forced = [(*row[:1], "ok", *row[2:]) for row in plan]
    assert await rollback(root, "a/**", cursor=cursor, writer="rogue", force=True, dry_run=True) == forced
    done = await rollback(root, "a/**", cursor=cursor, writer="rogue")
    assert [row[:4] for row in done] == [
        ("a/1", "ok", "put", 5),
        ("a/2", "ok", "put", 3),
        ("a/3", "conflict", "put", None),
        ("a/5", "ok", "delete", 2),
    ]
    assert await values(root) == {"a/1": 1, "a/2": 2, "a/3": 31, "a/4": 40}
    # what was put right since is no longer its own
    assert [row[:3] for row in await rollback(root, "", cursor=cursor, writer="rogue")] == [("a/3", "conflict", "put")]
    assert await rollback(root, "", cursor=cursor, writer="nobody") == []
    assert [row[:2] for row in await rollback(root, "", cursor=cursor, writer="rogue", force=True)] == [("a/3", "ok")]
    assert await values(root) == {"a/1": 1, "a/2": 2, "a/3": 3, "a/4": 40}
    # one key, to a version
    await rogue("put", "a/4", 41)
    assert (await rollback(root, "a/4", version=1, writer="rogue"))[0][1] == "conflict"
    assert (await rollback(root, "a/4", version=2, writer="rogue"))[0][:4] == ("a/4", "ok", "put", 4)


@pytest.mark.core
async def test_all_or_nothing(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/**", "write a/b/**")
    await root.rows("put_many", ["a/1", "a/b/1", "a/b/2"], [1, 2, 3])
    cursor = await root("cursor")
    await root.rows("put_many", ["a/b/1", "a/b/2"], [20, 30])
    token = (await alice("claim", "a/b/2", seconds(60)))["token"]
    held = [("a/b/1", "skipped", "put", None, 2, 1, 20, 2), ("a/b/2", "held", "put", None, 2, 1, 30, 3)]
    dry = [(row[0], "ok" if row[1] == "skipped" else row[1], *row[2:]) for row in held]
    for caller in (root, alice):
        assert await rollback(caller, "a/b/**", cursor=cursor, dry_run=True) == dry
        assert await rollback(caller, "a/b/**", cursor=cursor) == held
    assert await values(root) == {"a/1": 1, "a/b/1": 20, "a/b/2": 30}
    await alice("release", "a/b/2", token)
    # one that may be read and not written
    await root("put", "a/1", 10)
    denied = [("a/1", "denied", "put", None, 2, 1, 10, 1), ("a/b/1", "skipped", "put", None, 2, 1, 20, 2)]
    assert (await rollback(alice, "a/**", cursor=cursor))[:2] == denied
    assert (await rollback(alice, "a/**", cursor=cursor, dry_run=True))[0] == denied[0]
    assert [row[:3] for row in await rollback(alice, "a/b/**", cursor=cursor)] == [
        ("a/b/1", "ok", "put"),
        ("a/b/2", "ok", "put"),
    ]
    assert await values(root) == {"a/1": 10, "a/b/1": 2, "a/b/2": 3}


@pytest.mark.core
async def test_values_that_had_an_end(root: Caller, clock: Clock) -> None:
    await root("put", "long", 1, ttl=seconds(3600))
    await root("put", "short", 1, ttl=seconds(10))
    cursor = await root("cursor")
    end = (await root("get", "long"))["expires_at"]
    await root("put", "long", 2)
    await root("put", "short", 2)
    await clock.advance(60)
    rows = await root.rows("rollback", "", cursor=cursor)
    # the same end again; what would have ended by now is not brought back, and what replaced it was not there
    assert [(row["key"], row["action"]) for row in rows] == [("long", "put"), ("short", "delete")]
    assert rows[0]["expires_at"] == end
    again = await root("get", "long")
    assert again["value"] == 1
    assert abs(again["expires_at"] - end) < seconds(30)
    assert await rollback(root, "", cursor=cursor) == []
    # the end alone was changed
    await root("put", "long", 1)
    assert [row[:3] for row in await rollback(root, "", cursor=cursor)] == [("long", "ok", "put")]
    # by its version, without an end
    assert await rollback(root, "short", version=1) == [("short", "ok", "put", 4, 0, 1, None, 1)]
    assert (await root("get", "short"))["expires_at"] is None
    # expired, and its version not yet written
    await root("put", "short", 5, ttl=seconds(10))
    await clock.advance(60)
    assert await rollback(root, "short", version=1) == [("short", "ok", "put", 7, 0, 1, None, 1)]
    assert [v["op"] for v in await root.rows("history", "short", 2)] == ["put", "expire"]


async def test_by_the_rules_of_today(root: Caller) -> None:
    """The dry run shows what would be stored, and what would not."""
    token = "ghp_" + "a1B2c3D4" * 4 + "abcd"
    # in the table it is far shorter
    long = "x" * 5000
    await root("set_policy", "**", guard="off")
    keys = ["end/1", "end/2", "guard/off", "guard/redact", "guard/refuse", "limit", "schema"]
    await root.rows("put_many", keys, [1, 2, token, {"t": token}, token, long, "text"])
    cursor = await root("cursor")
    await root.rows("put_many", keys[1:], [3, 0, 0, 0, 0, 0])
    await root("set_policy", "end/**", ttl=seconds(3600))
    await root("set_policy", "guard/redact", guard="redact")
    await root("set_policy", "guard/refuse", guard="refuse")
    await root("set_policy", "limit", value_limit=2000)
    await root("set_policy", "schema", schema={"type": "integer"})
    redacted = {"t": "[redacted:github_token]"}
    shown = {row["key"]: row for row in await root.rows("rollback", "", cursor=cursor, dry_run=True)}
    assert {key: (row["status"], row["new_value"]) for key, row in shown.items()} == {
        "end/2": ("ok", 2), "guard/off": ("ok", token), "guard/redact": ("ok", redacted), "guard/refuse": ("refused", token),
        "limit": ("refused", long), "schema": ("refused", "text"),
    }  # fmt: skip
    for key, code in {"guard/refuse": "PS009", "limit": "PS004", "schema": "PS008", "": "PS009"}.items():
        with refused(code):
            await root.rows("rollback", key, cursor=cursor)
    await root("drop_policy", "guard/refuse")
    await root("drop_policy", "limit")
    await root("drop_policy", "schema")
    plan = {row["key"]: row["new_value"] for row in await root.rows("rollback", "", cursor=cursor, dry_run=True)}
    done = {row["key"]: row for row in await root.rows("rollback", "", cursor=cursor, op_id="once")}
    now = await values(root)
    assert {key: row["new_value"] for key, row in done.items()} == plan == {key: now[key] for key in plan}
    # without an end, and so with that of its policy
    end = (await root("get", "end/2"))["expires_at"]
    assert end is not None
    assert abs(shown["end/2"]["expires_at"] - end) < seconds(60)
    assert abs(done["end/2"]["expires_at"] - end) < seconds(30)
    again = {row["key"]: row["new_value"] for row in await root.rows("rollback", "", cursor=cursor, op_id="once")}
    assert again == plan
    # nothing is left to be done where nothing more can be
    assert await rollback(root, "end/**", cursor=cursor) == []


async def test_claimed_entries_that_may_be_written(root: Caller) -> None:
    await root.rows("put_many", ["a", "b"], [1, 1])
    cursor = await root("cursor")
    await root.rows("put_many", ["a", "b"], [2, 2])
    await root("claim", "a", lease=seconds(60))
    assert [row[:3] for row in await rollback(root, "", cursor=cursor)] == [
        ("a", "held", "put"),
        ("b", "skipped", "put"),
    ]
    await root("set_policy", "a", claimed_writes=True)
    assert [row[:3] for row in await rollback(root, "", cursor=cursor)] == [("a", "ok", "put"), ("b", "ok", "put")]
    assert await values(root) == {"a": 1, "b": 1}


@pytest.mark.core
async def test_it_happens_once(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    await root.rows("put_many", ["a/1", "a/2"], [1, 2])
    cursor = await root("cursor")
    await root("put", "a/1", 10)
    await root("delete", "a/2")
    await root("put", "a/3", 30)
    lane = uuid4()
    for named in ({"op_id": "x"}, {"lane": lane, "turn": 1}):
        if "lane" in named:
            await root("put", "a/1", 100)
        first = await rollback(root, "a/**", cursor=cursor, **named)
        assert first
        await root("put", "a/9", 1)
        # asked again it is not done again, and tells the same
        assert await rollback(root, "a/**", cursor=cursor, **named) == first
        assert (await root("get", "a/9"))["value"] == 1
        await root("delete", "a/9")
    with refused("PS030"):
        await root.rows("rollback", "a/**", cursor=cursor, op_id="x", force=True)
    with refused("PS031"):
        await root.rows("rollback", "a/**", cursor=cursor, lane=lane, turn=0)
    with refused("PS007"):
        await root.rows("rollback", "a/**", cursor=cursor, op_id="")
    # what was refused is kept too; a dry run takes no op_id
    await root("put", "a/1", 50)
    token = (await root("claim", "a/1", seconds(60)))["token"]
    await rollback(root, "a/**", cursor=cursor, op_id="y", dry_run=True)
    held = await rollback(root, "a/**", cursor=cursor, op_id="y")
    assert [row[1] for row in held] == ["held"]
    await root("release", "a/1", token)
    assert await rollback(root, "a/**", cursor=cursor, op_id="y") == held
    # nothing to do is an outcome
    now = await root("cursor")
    assert await rollback(root, "a/**", cursor=now, op_id="z") == []
    await root("put", "a/1", 60)
    assert await rollback(root, "a/**", cursor=now, op_id="z") == []


@pytest.mark.core
async def test_what_is_asked_wrongly(root: Caller, agent: MakeAgent, database: Database) -> None:
    await root("put", "k", 1)
    cursor = await root("cursor")
    await root.refuses(
        "PS007",
        "rollback('k')",
        f"rollback('k', 1, '{cursor}')",
        "rollback('k/**', 1)",
        "rollback('', 1)",
        f"rollback('', cursor => '{cursor}', force => null)",
        f"rollback('', cursor => '{cursor}', dry_run => null)",
        "rollback('', at => 'infinity')",
    )
    await root.refuses("PS001", "rollback('a//b', 1)")
    await root.refuses("PS002", f"rollback('a**', cursor => '{cursor}')", f"rollback(null, cursor => '{cursor}')")
    await root.refuses("PS020", "rollback('k', cursor => 'x')")
    await root.refuses("PS023", "rollback('k', at => '2001-01-01')")
    # a value over the limit of today
    await root("put", "k", "x" * 2000)
    await root("put", "k", 2)
    database.sql("update pgstate.install set value_limit = 1024")
    await root.refuses("PS004", "rollback('k', 2)")
    # threads and runs have functions of their own
    database.sql("update pgstate.entry set kind = 'run' where key = 'k'")
    await root.refuses("PS040", "rollback('k', 1)")
    assert await rollback(root, "", cursor=cursor) == []
    alice = await agent("alice", "read a/**", "write a/1", "write b/**")
    said = await alice.refuses(
        "PS010",
        *(
            f"rollback('{pattern}', cursor => '{cursor}')"
            for pattern in ("k", "none", "c/**", "b/**", "b/1", "a/2", "a/2/**")
        ),
        *(
            f"rollback('{pattern}', cursor => '{cursor}', dry_run => true)"
            for pattern in ("k", "none", "c/**", "b/**", "a/2")
        ),
        "rollback('k', 1)",
        "rollback('k')",
        "rollback('k', cursor => 'x')",
    )
    assert len(said) == 1
    assert json.loads(json.dumps(await rollback(alice, "a/1", cursor=cursor))) == []


async def test_what_never_holds_still_is_given_up(root: Caller, database: Database) -> None:
    await root("put", "k", 1)
    await root("put", "k", 2)
    # as if somebody else were faster every time
    ((definition,),) = database.sql("select pg_get_functiondef('pgstate.write_many'::regproc)")
    head, mark, _ = definition.partition("AS $function$")
    lost = (
        "begin return query select 1, 'conflict', 2::bigint, null::jsonb, null::text, null::text, false; end $function$"
    )
    database.sql(head + mark + lost)
    with refused("40001"):
        await root("rollback", "k", 1)


@pytest.mark.thorough
async def test_more_keys_than_one_statement_should_write(root: Caller, database: Database) -> None:
    cursor = await root("cursor")
    await root("put", "a", 1)
    database.sql(
        "with e as (insert into pgstate.entry (key, parent, version, live, value, writer, via, created_at, updated_at)"
        " select 'b/' || n, 'b', 1, true, '1', 'w', 'w', now(), now() from generate_series(1, 100000) n returning key)"
        " insert into pgstate.version (key, version, epoch, op, value, writer, via, at)"
        " select key, 1, 1, 'put', '1', 'w', 'w', now() from e"
    )
    with refused("PS007") as caught:
        await root.rows("rollback", "", cursor=cursor)
    assert "roll back in parts" in str(caught.value)
    assert len(await root.rows("rollback", "a", cursor=cursor)) == 1


async def test_an_end_that_was_moved_comes_back(root: Caller) -> None:
    await root("put", "a", 1, ttl=seconds(1000))
    end = (await root("get", "a"))["expires_at"]
    await root("put", "a", 1, ttl=seconds(1030))
    assert (await root("rollback", "a", version=1))["action"] == "put"
    assert abs((await root("get", "a"))["expires_at"] - end) < seconds(10)
    assert (await root("rollback", "a", version=1))["action"] == "none"


@pytest.mark.core
async def test_an_end_is_the_same_however_long_it_was_waited_for_a_lock(
    root: Caller, session: MakeAgent, clock: Clock
) -> None:
    await root("put", "a", 1, ttl=seconds(1000))
    end = (await root("get", "a"))["expires_at"]
    await root("put", "a", 2)
    other = await session(SUPERUSER)
    async with other.transaction():
        await other.fetch("select from pgstate.entry where key = 'a' for update")
        waiting = asyncio.create_task(root("rollback", "a", version=1))
        await wait_until_blocked(other.connection, root.pid)
        await clock.advance(100)
    assert (await waiting)["expires_at"] == end
    assert abs((await root("get", "a"))["expires_at"] - end) < seconds(10)
