"""Retention: what maintain() removes, what it never removes, and that cursors which asked for it are told."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from _server import SUPERUSER
from conftest import Clock
from sql._caller import Caller, MakeAgent, seconds
from sql._threads import LONG, load, saved

HOUR = 3600.0
Settle = Callable[..., Awaitable[int]]


@pytest.fixture
async def inside(session: MakeAgent) -> Caller:
    """A superuser, for what no caller sees: entries' rows, marks, plans."""
    return await session(SUPERUSER)


@pytest.fixture
def settle(root: Caller, clock: Clock) -> Settle:
    """`await settle()`: lets the cursors' hour pass, and maintains until nothing is left. How many versions went."""

    async def run(limit: int = 5000, hours: float = 1.1) -> int:
        # marks are a minute apart
        await clock.advance(0.05 * HOUR)
        removed = await drain(root, limit)
        await clock.advance(hours * HOUR)
        return removed + await drain(root, limit)

    return run


async def drain(caller: Caller, limit: int = 5000) -> int:
    removed = 0
    while True:
        done = await caller("maintain", limit)
        assert done["status"] == "ok"
        removed += done["removed"]
        if not done["more"]:
            return removed


async def write(root: Caller, key: str, times: int) -> None:
    for number in range(times):
        await root("put", key, number)


async def versions(root: Caller, key: str) -> list[int]:
    return [row["version"] for row in await root.rows("history", key)]


@pytest.mark.core
async def test_the_newest_versions_are_kept(root: Caller, settle: Settle) -> None:
    await root("set_policy", "a/**", keep="3 versions")
    for key in ("a/x", "a/y", "b/x"):
        await write(root, key, 6)
    await write(root, "a/short", 2)
    assert await settle() == 6
    assert await versions(root, "a/x") == await versions(root, "a/y") == [6, 5, 4]
    assert await versions(root, "b/x") == [6, 5, 4, 3, 2, 1]
    assert await versions(root, "a/short") == [2, 1]
    # what comes later goes the same way; numbers go on
    await write(root, "a/x", 2)
    assert await settle() == 2
    assert await versions(root, "a/x") == [8, 7, 6]
    assert (await root("get", "a/x"))["version"] == 8


@pytest.mark.core
async def test_what_was_current_within_the_time_kept_is_kept(root: Caller, settle: Settle, clock: Clock) -> None:
    await root("set_policy", "a/**", keep="1 day")
    await write(root, "a/x", 3)
    await clock.advance(20 * HOUR)
    await write(root, "a/x", 2)
    # versions 1 to 3 are 25 hours old, and 3 was current until 5 hours ago
    assert await settle(hours=5) == 2
    assert await versions(root, "a/x") == [5, 4, 3]
    assert await settle(hours=30) == 2
    assert await versions(root, "a/x") == [5]
    assert (await root("get", "a/x"))["value"] == 1
    assert await settle(hours=1000) == 0


async def test_a_year_is_no_shorter_for_a_policy_of_360_days(root: Caller, settle: Settle) -> None:
    """PostgreSQL takes the two for equal: retention follows the feed once for both."""
    await root("set_policy", "a/**", keep="360 days")
    await root("set_policy", "b/**", keep="1 year")
    await write(root, "a/x", 2)
    await write(root, "b/x", 2)
    await settle()
    await settle(hours=363 * 24)
    assert await versions(root, "b/x") == [2, 1]
    assert await settle(hours=5 * 24) > 0
    assert (await versions(root, "a/x"), await versions(root, "b/x")) == ([2], [2])


@pytest.mark.core
async def test_the_nearest_policy_decides_what_is_kept(root: Caller, settle: Settle) -> None:
    await root("set_policy", "**", keep="1 version")
    await root("set_policy", "a/**", keep="everything")
    await root("set_policy", "a/b", keep="2 versions")
    await root("set_policy", "c/**", keep="10 days", ttl=seconds(1e6))
    await root("set_policy", "c/d/**", ttl=seconds(1e6))
    for key in ("x", "a/x", "a/b", "c/d/x"):
        await write(root, key, 4)
    assert await settle() == 5
    assert [await versions(root, key) for key in ("x", "a/x", "a/b", "c/d/x")] == [
        [4],
        [4, 3, 2, 1],
        [4, 3],
        [4, 3, 2, 1],
    ]
    assert await settle(hours=11 * 24) == 3
    assert [await versions(root, key) for key in ("a/x", "c/d/x")] == [[4, 3, 2, 1], [4]]


@pytest.mark.core
async def test_another_policy_is_applied_to_what_is_there(root: Caller, settle: Settle) -> None:
    await write(root, "a/x", 10)
    assert await settle() == 0
    await root("set_policy", "a/**", keep="8 versions")
    assert await settle() == 2
    await root("set_policy", "a/**", keep="2 days")
    assert await settle() == 0
    await root("set_policy", "a/**", keep="4")
    assert await settle() == 4
    await root("set_policy", "a/x", keep="everything")
    await root("set_policy", "a/**", keep="1")
    assert await settle() == 0
    await root("drop_policy", "a/x")
    assert await settle() == 3
    await root("drop_policy", "a/**")
    await write(root, "a/x", 5)
    assert await settle() == 0
    assert await versions(root, "a/x") == [15, 14, 13, 12, 11, 10]


@pytest.mark.core
async def test_small_steps_do_the_same(root: Caller, settle: Settle, inside: Caller) -> None:
    await root("set_policy", "a/**", keep="2")
    await root.rows("put_many", [f"a/{n % 7}" for n in range(70)], list(range(70)))
    await root.rows("put_many", [f"b/{n % 7}" for n in range(70)], list(range(70)))
    assert await settle(limit=3) == 7 * 8
    counts = await inside.fetch(
        "select key, count(*) as n, min(version) as least from pgstate.version group by key order by 1"
    )
    assert [tuple(row) for row in counts] == [
        *((f"a/{n}", 2, 9) for n in range(7)), *((f"b/{n}", 10, 1) for n in range(7)),
    ]  # fmt: skip


@pytest.mark.core
async def test_deleted_keys_keep_their_last_version_and_numbers_never_restart(root: Caller, settle: Settle) -> None:
    await root("set_policy", "a/**", keep="1")
    await write(root, "a/x", 3)
    await root("delete", "a/x")
    assert await settle() == 3
    assert await versions(root, "a/x") == [4]
    assert (await root("put", "a/x", 1, expect=0))["version"] == 5
    assert await settle() == 1
    # an expiry counts like any version
    await root("put", "a/x", 1, ttl=seconds(1))
    assert await settle() == 1
    await root.execute("select pgstate.expire()")
    assert await settle() == 1
    assert await versions(root, "a/x") == [7]


@pytest.mark.core
async def test_claims_go_on(root: Caller, settle: Settle) -> None:
    await root("set_policy", "**", keep="1")
    await write(root, "t/1", 3)
    claim = await root("claim", "t/1", seconds(10 * HOUR))
    assert await settle() == 2
    assert (await root("put", "t/1", 9, token=claim["token"]))["status"] == "ok"
    assert (await root("complete", "t/1", claim["token"]))["status"] == "ok"
    assert await settle() == 2


@pytest.mark.core
async def test_what_stands_in_tables_of_its_own_outlives_versions(root: Caller, settle: Settle, inside: Caller) -> None:
    await root("set_policy", "**", keep="1")
    await write(root, "value", 4)
    run = await root("start_run", "run", seconds(10 * HOUR))
    for step in ("a", "b", "c"):
        arguments = [
            ["run"],
            [run["token"]],
            [step],
            [step],
            ["step"],
            [1],
            [True],
            ["done"],
            ["json"],
            [b"1"],
            [1],
            [0.0],
        ]
        await root("finish_steps", *arguments)
    line = [await saved(root, "thread", {"n": n, "text": LONG}) for n in range(4)]
    # of threads and runs it is not in the versions of their entries
    assert await settle() == 9
    assert (await root("end_run", "run", run["token"], "open"))["status"] == "ok"
    assert (await root("start_run", "run", seconds(10)))["steps"] == ["a", "b", "c"]
    assert [await load(root, "thread", id) for id in line] == [{"n": n, "text": LONG} for n in range(4)]


@pytest.mark.core
async def test_versions_go_where_all_tables_are_published(root: Caller, settle: Settle, inside: Caller) -> None:
    """As for change data capture, or an upgrade by logical replication."""
    await inside.execute("create publication everything for tables in schema pgstate")
    await root("set_policy", "a/**", keep="1")
    await write(root, "a/x", 3)
    await root("put", "a/gone", 1)
    await root("delete", "a/gone")
    await root("put", "b", 1)
    assert await settle() == 4


# -- cursors


@pytest.mark.core
async def test_nothing_goes_that_a_young_cursor_needs(root: Caller, clock: Clock) -> None:
    await root("set_policy", "a/**", keep="1")
    await write(root, "a/x", 3)
    first = await root("cursor")
    await root("maintain")
    for _ in range(5):
        await clock.advance(0.19 * HOUR)
        young = await root("cursor")
        await write(root, "a/x", 2)
        assert await drain(root) == 0
        assert [c["version"] for c in await root.rows("changes", first) if c["key"]] == list(
            range(4, (await root("get", "a/x"))["version"] + 1)
        )
    await clock.advance(0.2 * HOUR)
    assert await drain(root) > 0
    # all that came after a cursor of the last hour is there, with the value before
    changes = [c for c in await root.rows("changes", young) if c["key"]]
    assert [(c["version"], c["previous"]) for c in changes] == [(12, 1), (13, 0)]


@pytest.mark.core
async def test_a_cursor_older_than_what_was_kept_is_refused(root: Caller, settle: Settle, clock: Clock) -> None:
    await root("set_policy", "a/**", keep="1")
    await write(root, "a/x", 1)
    old = await root("cursor")
    await write(root, "a/x", 5)
    page = (await root.rows("changes", old, [""], 2))[1]["cursor"]
    await root("put", "b/x", 1)
    after = await root("cursor")
    assert await settle() == 5
    for cursor in (old, page):
        said = await root.refuses("PS021", f"changes('{cursor}')", f"changes_for('{cursor}', '{{admin}}', '{{b/**}}')")
        assert len(said) == 1
        assert said.pop().startswith("the cursor is older than the history that is kept")
    assert [row["op"] for row in await root.rows("changes", after)] == ["bookmark"]
    # and as the end of a reading
    await root.refuses("PS021", f"changes('{after}', upto => '{old}')")
    # a new one stays good although nothing was written since
    new = await root("cursor")
    await clock.advance(100 * HOUR)
    assert await drain(root) == 0
    await root("put", "b/x", 2)
    assert [row["key"] for row in await root.rows("changes", new)] == ["b/x", None]


@pytest.mark.core
@pytest.mark.parametrize("reviewed", [False, True])
async def test_a_cursor_that_saw_all_that_is_gone_but_not_what_came_next_is_refused(
    root: Caller, settle: Settle, reviewed: bool
) -> None:
    """The next change is there, the value before it is not."""
    # so that retention has gone along the feed before the other policy is set
    await root("set_policy", "z/**" if reviewed else "a/**", keep="1")
    await write(root, "a/x", 4)
    cursor = await root("cursor")
    await write(root, "a/x", 1)
    if reviewed:
        await settle()
        await root("set_policy", "a/**", keep="1")
    assert await settle() == 4
    await root.refuses("PS021", f"changes('{cursor}')")


@pytest.mark.core
async def test_an_old_cursor_is_good_while_nothing_that_it_needs_was_removed(root: Caller, settle: Settle) -> None:
    await root("set_policy", "a/**", keep="1")
    await write(root, "a/x", 5)
    cursor = await root("cursor")
    await root("put", "b/x", 1)
    assert await settle() == 4
    assert [row["key"] for row in await root.rows("changes", cursor)] == ["b/x", None]


@pytest.mark.core
async def test_a_transaction_under_way_holds_up_what_it_may_not_have_seen_and_no_cursor(
    root: Caller, settle: Settle, session: MakeAgent, clock: Clock
) -> None:
    """The oldest transaction may be hours old: what ended since is not removed, and every new cursor lists it."""
    await root("set_policy", "a/**", keep="1")
    await write(root, "a/x", 3)
    slow = await session()
    async with slow.transaction():
        await slow("put", "b/slow", 1)
        await write(root, "a/x", 3)
        assert await settle() == 2
        assert await versions(root, "a/x") == [6, 5, 4, 3]
        cursor = await root("cursor")
        await write(root, "a/x", 1)
        assert [c["version"] for c in await root.rows("changes", cursor) if c["key"]] == [7]
    assert [(c["key"], c["version"]) for c in await root.rows("changes", cursor) if c["key"]] == [
        ("b/slow", 1),
        ("a/x", 7),
    ]
    await write(root, "a/x", 1)
    assert await settle() == 5
    assert await versions(root, "a/x") == [8]


@pytest.mark.core
async def test_what_stays_first_has_been_seen_too(
    root: Caller, session: MakeAgent, settle: Settle, inside: Caller
) -> None:
    """Version 2 has a higher transaction id than version 3, which is past the age of all cursors first."""
    await root("set_policy", "a/**", keep="1")
    await write(root, "a/x", 1)
    early, slow = await session(), await session()
    async with slow.transaction():
        async with early.transaction():
            await early("put", "c/early", 1)  # takes its id first
            await slow("put", "c/slow", 1)
            await root("put", "a/x", 2)
            await early("put", "a/x", 3)
        xids = [
            int(row[0])
            for row in await inside.fetch("select xid::text from pgstate.version where key = 'a/x' order by version")
        ]
        assert xids[1] > xids[2] > xids[0]
        assert await settle() == 0
        cursor = await root("cursor")
        await root("put", "c/more", 1)
        assert len(await root.rows("changes", cursor)) == 2
    await root("put", "a/x", 4)
    assert await settle() == 3
    assert await versions(root, "a/x") == [4]


@pytest.mark.core
async def test_the_highest_transaction_id_stays_until_there_is_a_higher_one(
    root: Caller, session: MakeAgent, settle: Settle
) -> None:
    """It says how far new cursors reach. Here the last version but one has it, and nothing is written for long."""
    await root("set_policy", "a/**", keep="1")
    await write(root, "a/x", 1)
    early = await session()
    async with early.transaction():
        await early("put", "c/early", 1)
        await root("put", "a/x", 2)
        await early("put", "a/x", 3)
    assert await settle() == 1
    assert await versions(root, "a/x") == [3, 2]
    cursor = await root("cursor")
    assert [row["op"] for row in await root.rows("changes", cursor)] == ["bookmark"]
    await root("put", "a/x", 4)
    assert [row["version"] for row in await root.rows("changes", cursor) if row["key"]] == [4]
    assert await settle() == 2
    assert [row["op"] for row in await root.rows("changes", await root("cursor"))] == ["bookmark"]
    # when what stays has it too, all others go
    await root.rows("put_many", ["a/x"] * 9, [1] * 9)
    assert await settle() == 9
    assert [row["op"] for row in await root.rows("changes", await root("cursor"))] == ["bookmark"]


@pytest.mark.core
async def test_the_hour_is_a_setting(root: Caller, clock: Clock, inside: Caller) -> None:
    await inside.execute("update pgstate.install set cursor_window = '2 days'")
    await root("set_policy", "a/**", keep="1")
    await write(root, "a/x", 3)
    await root("maintain")
    await clock.advance(40 * HOUR)
    assert await drain(root) == 0
    await clock.advance(9 * HOUR)
    assert await drain(root) == 2
    for window in ("0 s", "1 s", "20 years"):
        with pytest.raises(asyncpg.CheckViolationError):
            await inside.execute(f"update pgstate.install set cursor_window = '{window}'")


@pytest.mark.core
async def test_marks_are_few(root: Caller, clock: Clock, inside: Caller) -> None:
    await root("set_policy", "a/**", keep="1")
    for _ in range(200):
        await clock.advance(20)
        await root("maintain")
    marks = await inside.fetchval("select count(*) from pgstate.mark")
    assert 50 <= marks <= 63


@pytest.mark.core
async def test_a_restored_database_begins_anew(root: Caller, settle: Settle, inside: Caller) -> None:
    """Transaction ids of before mean nothing: they hold back no cursor, and what they wrote is history like any other."""
    await root("set_policy", "a/**", keep="2")
    await write(root, "a/x", 4)
    assert await settle() == 2
    assert await inside.fetchval("select horizon is not null from pgstate.install")
    await inside.execute("update pgstate.install set identity = '1:1'")
    await inside.execute(
        "update pgstate.version set xid = '9000000000'; update pgstate.mark set ended_below = '9000000000'"
    )
    await root("maintain")
    assert await inside.fetchval("select epoch from pgstate.install") > 1
    assert await inside.fetchval("select horizon_epoch from pgstate.install") == 1
    cursor = await root("cursor")
    await write(root, "a/x", 3)
    assert [c["version"] for c in await root.rows("changes", cursor) if c["key"]] == [5, 6, 7]
    assert await settle() == 3
    assert await versions(root, "a/x") == [7, 6]
    assert [row["op"] for row in await root.rows("changes", await root("cursor"))] == ["bookmark"]


# -- policies that change


@pytest.mark.core
async def test_a_change_of_policy_sends_nobody_else_back(root: Caller, settle: Settle, inside: Caller) -> None:
    """Only the keys below it are looked at again, which need not be few: in steps, however long one key's history is."""
    await root("set_policy", "a/**", keep="1")
    await write(root, "a/x", 3)
    await settle()
    place = "select array_agg(s order by delay)::text from pgstate.sweep s where delay = '0'"
    before = await inside.fetchval(place)
    await root.rows("put_many", ["b/long"] * 30 + [f"b/{n}" for n in range(30)] + ["b-c", "b.c/x", "b", "bb"], [1] * 64)
    await settle()
    for keep in ("2 days", "20 versions", "5 versions"):
        await root("set_policy", "b/**", keep=keep)
    assert await inside.fetchval(place) > before
    after = await inside.fetchval(place)
    steps = [await root("maintain", 5) for _ in range(60)]
    assert max(step["removed"] for step in steps) <= 5
    assert sum(step["removed"] for step in steps) == 25
    assert steps[0]["more"] and not steps[-1]["more"]
    assert await inside.fetchval("select count(*) from pgstate.review") == 0
    assert await inside.fetchval(place) >= after
    assert await versions(root, "b/long") == [30, 29, 28, 27, 26]


@pytest.mark.core
async def test_a_policy_on_everything_or_on_one_key_is_looked_at_alike(root: Caller, settle: Settle) -> None:
    keys = ("a", "a/b", "a-b", "z", "0")
    for key in keys:
        await write(root, key, 4)
    await settle()
    await root("set_policy", "a", keep="3")
    assert await settle() == 1
    await root("set_policy", "a/**", keep="2")
    assert await settle() == 2
    await root("set_policy", "**", keep="1")
    assert await settle() == 3 * 3
    assert [await versions(root, key) for key in keys] == [[4, 3, 2], [4, 3], [4], [4], [4]]


@pytest.mark.core
async def test_many_ages_share_a_step(root: Caller, settle: Settle, inside: Caller) -> None:
    for n in range(30):
        await root("set_policy", f"k/{n}", keep=f"{n + 2} hours")
        await write(root, f"k/{n}", 3)
    # the first of each key shows nothing, the second that the first may go
    assert await settle(limit=40, hours=100) == 60
    assert await inside.fetchval("select count(*) from pgstate.sweep") == 31
    await root("drop_policy", "k/0")
    await root("set_policy", "k/1", keep="3 h 30 min")
    delays = await inside.fetch("select delay, xid::text::bigint as xid from pgstate.sweep order by 1")
    assert [row["delay"] for row in delays][:3] == [seconds(0), seconds(3.5 * HOUR), seconds(4 * HOUR)]
    # a new one goes on where the next higher one is
    assert delays[1]["xid"] == delays[2]["xid"] > 0


# -- who may, and at what cost


@pytest.mark.core
async def test_anybody_connected_may_maintain_and_learns_no_count(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, clock: Clock
) -> None:
    alice, both = await agent("alice", "read a/**"), await gateway()
    await root("set_policy", "hid/**", keep="1")
    await write(root, "hid/x", 3)
    assert tuple(await alice("maintain")) == ("ok", None, False)
    await clock.advance(2 * HOUR)
    while (step := await both("maintain"))["more"]:
        assert step["removed"] is None
    assert tuple(step) == ("ok", None, False)
    assert await versions(root, "hid/x") == [3]
    await root.refuses("PS007", "maintain(0)", "maintain(100001)", "maintain(null)", "maintain(-1)")


@pytest.mark.core
async def test_without_policies_nothing_is_touched(root: Caller, agent: MakeAgent, inside: Caller) -> None:
    await write(root, "a", 3)
    await root("set_policy", "**", ttl=seconds(60), keep="everything")
    assert tuple(await root("maintain")) == ("ok", 0, False)
    assert await inside.fetchval("select count(*) from pgstate.mark") == 0


async def test_cost_follows_what_is_due(root: Caller, settle: Settle, inside: Caller) -> None:
    """With nothing due, a call reads as much of a long history as of a short one."""
    await root("set_policy", "**", keep="1 day")

    async def buffers() -> int:
        # as the owner, who is no registered login: the function below the one that asks who calls
        plan = await inside.fetchval("explain (analyze, buffers, format json) select pgstate._maintain(1, 5000)")
        (top,) = json.loads(plan)
        return int(top["Plan"]["Shared Hit Blocks"] + top["Plan"]["Shared Read Blocks"])

    await root.rows("put_many", [f"k/{n}" for n in range(100)], [1] * 100)
    await settle()
    for _ in range(2):
        few = await buffers()
    await root.rows("put_many", [f"k/{n % 100}" for n in range(20000)], [1] * 20000)
    await settle()
    for _ in range(2):
        many = await buffers()
    assert many <= few + 20
