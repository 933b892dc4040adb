"""Retention of keys that are not there any more: whose tombstones go, when, and that their numbers never come again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from _server import SUPERUSER
from conftest import Clock
from sql._caller import Caller, MakeAgent, refused, seconds
from sql._threads import save, saved
from sql.test_retention import HOUR, drain

Settle = Callable[..., Awaitable[int]]


@pytest.fixture
async def inside(session: MakeAgent) -> Caller:
    """A superuser, for what no caller sees: tombstones, and the floor."""
    return await session(SUPERUSER)


@pytest.fixture
def settle(root: Caller, clock: Clock) -> Settle:
    """`await settle()`: so many hours pass for cursors and policies, with something written on the way, which purges wait for."""

    async def run(limit: int = 5000, hours: float = 1.1) -> int:
        await root("put", "beat", 1)
        await clock.advance(0.05 * HOUR)
        removed = await drain(root, limit)
        await clock.advance(hours * HOUR)
        return removed + await drain(root, limit)

    return run


async def keys(inside: Caller) -> list[str]:
    """All keys that have a row, tombstones among them."""
    return [row[0] for row in await inside.fetch("select key from pgstate.entry where key <> 'beat' order by key")]


async def floor(inside: Caller) -> int | None:
    last: int | None = await inside.fetchval("select pg_sequence_last_value('pgstate.version_floor')")
    return last


async def write_and_delete(root: Caller, *names: str, times: int = 2) -> None:
    for name in names:
        for number in range(times):
            await root("put", name, number)
        await root("delete", name)


@pytest.mark.core
async def test_a_deleted_key_goes_when_only_that_it_was_deleted_is_kept(
    root: Caller, settle: Settle, inside: Caller
) -> None:
    await root("set_policy", "a/**", keep="1 version")
    await root("set_policy", "b/**", keep="2 versions")
    await root("set_policy", "c/**", keep="everything")
    await write_and_delete(root, "a/x", "b/x", "c/x", "d/x")
    await root("put", "a/lives", 1)
    assert await settle() == 3 + 1
    # of b/x the last value is kept, which may be brought back
    assert await keys(inside) == ["a/lives", "b/x", "c/x", "d/x"]
    assert (await root.rows("rollback", "b/x", 2))[0]["status"] == "ok"
    assert await root.rows("history", "a/x") == []
    for call in ("get", "delete"):
        assert (await root(call, "a/x"))["status"] == "missing"
    # above all that it had, for whoever asks that it not be there
    assert (await root("put", "a/x", "new", expect=3))["status"] == "conflict"
    row = await root("put", "a/x", "new", expect=0)
    assert (row["status"], row["version"]) == ("ok", 4)
    assert [(v["version"], v["created"]) for v in await root.rows("history", "a/x")] == [(4, True)]
    assert await floor(inside) == 3


@pytest.mark.core
async def test_a_deleted_key_goes_when_its_time_has_passed(root: Caller, settle: Settle, inside: Caller, clock: Clock) -> None:  # fmt: skip
    await root("set_policy", "a/**", keep="1 day")
    await root("put", "a/brief", 1, ttl=seconds(60))
    await write_and_delete(root, "a/x")
    await root("put", "a/task", 1)
    token = (await root("claim", "a/task", seconds(60)))["token"]
    await root("complete", "a/task", token)
    await clock.advance(90)
    await root("expire")
    at, cursor = await clock.now(), await root("cursor")
    await settle(hours=20)
    assert await keys(inside) == ["a/brief", "a/task", "a/x"]
    await settle(hours=5)
    assert await keys(inside) == []
    assert await inside.fetchval("select count(*) from pgstate.version where key <> 'beat'") == 0
    assert await inside.fetchval("select count(*) from pgstate.claim") == 0
    for name in ("a/brief", "a/task", "a/x"):
        assert (await root("put", name, 1))["version"] == 4
    # what was then is no longer known, and nothing else is told
    await root.refuses(
        "PS021", f"changes('{cursor}')", f"list_as_of(cursor => '{cursor}')", f"list_as_of(at => '{at}')", f"get_as_of('a/x', at => '{at}')"
    )  # fmt: skip


@pytest.mark.core
async def test_by_default_nothing_goes(root: Caller, settle: Settle, inside: Caller) -> None:
    await root("set_policy", "b/**", keep="1 version")
    await write_and_delete(root, "a/x")
    assert await settle(hours=10000) == 0
    assert await keys(inside) == ["a/x"]
    assert (await root("put", "a/x", 1))["version"] == 4
    assert (await root("put", "a/new", 1))["version"] == 1
    assert await floor(inside) is None


@pytest.mark.core
async def test_every_new_key_starts_above_the_floor(root: Caller, settle: Settle, inside: Caller) -> None:
    await root("set_policy", "a/**", keep="1 version")
    await root("put", "b/old", 1)
    await write_and_delete(root, "a/x", times=9)
    await write_and_delete(root, "a/y", times=4)
    await settle()
    assert await floor(inside) == 10
    assert (await root("put", "b/old", 2))["version"] == 2
    assert (await root("put", "b/new", 1))["version"] == 11
    assert (await root("merge", "b/merged", [1], "append"))["version"] == 11
    many = await root.rows("put_many", ["b/1", "a/x", "b/1", "b/old"], [1, 2, 3, 4])
    assert [row["version"] for row in many] == [11, 11, 12, 3]
    rows = await root.rows("apply", [{"key": "b/none", "absent": True}, {"key": "b/never", "version": 0}],
                           [{"op": "put", "key": "b/2", "value": 1}, {"op": "put", "key": "b/none", "value": 1}])  # fmt: skip
    assert [(row["status"], row["version"]) for row in rows] == [("ok", 0), ("ok", 0), ("ok", 11), ("ok", 11)]
    # what was only guarded has no number yet
    assert await inside.fetchval("select version from pgstate.entry where key = 'b/never'") == 0
    assert (await root("put", "b/never", 1, expect=0))["version"] == 11
    blind = await root("merge", "b/never", 1, "add", return_value=True)
    assert (blind["version"], blind["value"]) == (12, 2)
    # a value that grows, from the first version on
    big = [str(n) * 40 for n in range(100)]
    for number in range(3):
        await root("merge", "b/grows", big if number == 0 else number, "append")
    assert (await root("get", "b/grows"))["value"] == [*big, 1, 2]
    assert [v["version"] for v in await root.rows("history", "b/grows")] == [13, 12, 11]
    assert [v["created"] for v in await root.rows("history", "b/grows")] == [False, False, True]


@pytest.mark.core
async def test_the_past_around_a_purge(root: Caller, settle: Settle, inside: Caller, clock: Clock) -> None:
    await root("set_policy", "a/**", keep="1 version")
    await root("put", "b/x", 1)
    before = await root("cursor")
    await write_and_delete(root, "a/x")
    dead = await root("cursor")
    await root("put", "b/x", 2)
    after = await root("cursor")
    assert await settle() == 3
    # one that had not seen it go, one that had seen nothing since, and one that had
    for cursor in (before, dead):
        await root.refuses("PS021", f"changes('{cursor}')", f"list_as_of(cursor => '{cursor}')", f"rollback('**', cursor => '{cursor}')")  # fmt: skip
    assert (await root("get_as_of", "a/x", cursor=after))["status"] == "missing"
    assert [row["key"] for row in await root.rows("list_as_of", cursor=after)] == ["b/x"]
    await root("put", "a/x", "again")
    told = [(c["key"], c["version"], c["previous"], c["created"]) for c in await root.rows("changes", after)]
    assert told[1] == ("a/x", 4, None, True)
    again = await root("cursor")
    await root.rows("put_many", ["a/x"] * 30, list(range(30)))
    assert (await root("get_as_of", "a/x", cursor=after))["status"] == "missing"
    assert (await root("get_as_of", "a/x", cursor=again))["value"] == "again"
    # and back to when it was not there
    rows = await root.rows("rollback", "a/**", cursor=after)
    assert [(row["action"], row["from_version"], row["to_version"]) for row in rows] == [("delete", 34, 0)]


@pytest.mark.core
async def test_a_young_cursor_and_a_transaction_under_way_hold_it_back(
    root: Caller, session: MakeAgent, clock: Clock, inside: Caller
) -> None:
    await root("set_policy", "a/**", keep="1 version")
    slow = await session()
    await root("put", "beat", 0)
    async with slow.transaction():
        await slow("put", "b/slow", 1)
        await write_and_delete(root, "a/x")
        await root("put", "beat", 1)
        for _ in range(3):
            await drain(root)
            await clock.advance(1.1 * HOUR)
        await drain(root)
        assert await keys(inside) == ["a/x"]
    cursor = await root("cursor")
    for _ in range(2):
        await drain(root)
        await clock.advance(0.4 * HOUR)
    assert await keys(inside) == ["a/x", "b/slow"]
    assert [c["key"] for c in await root.rows("changes", cursor)] == [None]
    await root("put", "beat", 2)
    await clock.advance(1.1 * HOUR)
    for _ in range(2):
        await drain(root)
        await clock.advance(1.1 * HOUR)
    assert await keys(inside) == ["b/slow"]


@pytest.mark.core
async def test_the_last_change_of_all_waits_for_another(root: Caller, clock: Clock, inside: Caller) -> None:
    """It says how far cursors reach, and of what time they are."""
    await root("set_policy", "a/**", keep="1 version")
    await root("set_policy", "b/**", keep="1 day")
    await root.rows("put_many", ["a/x", "b/x", "b/y"], [1, 2, 3])
    await root("put", "c/brief", 1, ttl=seconds(1000))
    await root("put", "b/y", 4)
    await clock.advance(2000)
    await root.rows("delete_many", ["a/x", "b/x"])
    cursor = await root("cursor")
    for _ in range(3):
        await drain(root)
        await clock.advance(30 * HOUR)
    assert await keys(inside) == ["a/x", "b/x", "b/y", "c/brief"]
    assert await inside.fetchval("select count(*) from pgstate.version where key in ('a/x', 'b/x')") == 2
    # at the cursor it had expired, which only the time of the last change tells
    assert (await root("get_as_of", "c/brief", cursor=cursor))["status"] == "missing"
    assert [row["op"] for row in await root.rows("changes", await root("cursor"))] == ["bookmark"]
    await root("put", "beat", 1)
    for _ in range(3):
        await drain(root)
        await clock.advance(30 * HOUR)
    assert await keys(inside) == ["b/y", "c/brief"]
    await root.refuses("PS021", f"get_as_of('c/brief', cursor => '{cursor}')")


@pytest.mark.core
async def test_in_small_steps_and_by_another_policy(root: Caller, settle: Settle, inside: Caller) -> None:
    names = [f"a/{n}" for n in range(20)]
    await root.rows("put_many", names * 3, [1] * 60)
    await root.rows("delete_many", names)
    await root.rows("apply", [{"key": "a/guarded", "absent": True}], [{"op": "put", "key": "a/0", "value": 0}])
    assert await settle() == 0
    await root("set_policy", "a/**", keep="2 versions")
    assert await settle(limit=7) == 40 + 1
    assert len(await keys(inside)) == 20
    await root("set_policy", "a/**", keep="1 hour")
    # a/0 lives, all others have gone with two versions each
    assert await settle(limit=7) == 19 * 2 + 1
    assert await keys(inside) == ["a/0"]
    assert await inside.fetchval("select count(*) from pgstate.review") == 0
    assert await floor(inside) == 4


@pytest.mark.core
async def test_a_deleted_run_goes(root: Caller, settle: Settle, inside: Caller) -> None:
    await root("set_policy", "**", keep="1 version")
    await root("start_run", "a/run")
    assert (await root("delete_run", "a/run"))["status"] == "ok"
    await settle()
    assert await keys(inside) == []
    assert (await root("start_run", "a/run"))["created"]


@pytest.mark.core
async def test_a_deleted_thread_goes_and_stays_deleted(root: Caller, settle: Settle, inside: Caller) -> None:
    await root("set_policy", "a/**", keep="1 version")
    old = await saved(root, "a/t", {"n": 1})
    await saved(root, "a/t", {"n": 2})
    await root("delete_thread", "a/t")
    await settle()
    assert await keys(inside) == []
    assert (await save(root, "a/t", {"n": 3}, parent=old))["status"] == "missing"
    assert await keys(inside) == []
    await saved(root, "a/t", {"n": 4})
    # above what it had
    assert (await root("get", "a/t"))["version"] == 4


@pytest.mark.core
async def test_a_write_sent_again_after_the_purge_is_not_done_twice(
    root: Caller, settle: Settle, inside: Caller
) -> None:
    await root("set_policy", "a/**", keep="1 version")
    lane = "11111111-2222-4333-8444-555555555555"
    first = await root("write_one", "put", "a/x", 1, op_id="once")
    done = await root("write_one", "delete", "a/x", lane=lane, turn=1)
    await settle()
    assert await keys(inside) == []
    assert (await root("write_one", "put", "a/x", 1, op_id="once"))["version"] == first["version"] == 1
    assert (await root("write_one", "delete", "a/x", lane=lane, turn=1))["version"] == done["version"] == 2
    assert await keys(inside) == []


@pytest.mark.core
async def test_it_tells_nobody_which_key_it_was(root: Caller, agent: MakeAgent, settle: Settle, inside: Caller) -> None:
    alice = await agent("alice", "read a/**", "write a/**", "write w/**")
    await root("set_policy", "hid/**", keep="1 version")
    await write_and_delete(root, "hid/a", times=5)
    await settle()
    # the same number beside it, far from it, and for a key that was there
    assert [(await alice("put", name, 1))["version"] for name in ("a/1", "a/b/c")] == [7, 7]
    assert (await alice("put", "w/1", 1))["version"] is None
    said = {str(await alice.refuses("PS010", f"put('{name}', '1')")) for name in ("hid/a", "hid/none")}
    assert len(said) == 1
    with refused("42501"):
        await alice.fetch("select last_value from pgstate.version_floor")


async def test_what_was_restored_is_purged_too(
    root: Caller, settle: Settle, inside: Caller, session: MakeAgent
) -> None:
    await root("set_policy", "a/**", keep="1 day")
    await write_and_delete(root, "a/x", times=3)
    await inside.execute("update pgstate.install set identity = '1:1'; update pgstate.version set xid = '9000000000'")
    other = await session()
    await other("put", "beat", 1)
    for _ in range(2):
        await drain(other)
        await settle(hours=30)
    assert await keys(inside) == []
    (horizon,) = await inside.fetch("select horizon_epoch, epoch from pgstate.install")
    assert horizon[0] < horizon[1]
    assert (await root("put", "a/x", 1))["version"] == 5
