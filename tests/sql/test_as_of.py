"""Reading the past: at a version, a cursor or a time, and always a state that there was."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

import pytest

from _cases import first_of
from _server import SUPERUSER
from conftest import Clock, Database
from sql._caller import NULL, Caller, MakeAgent, refused, seconds

# what list() and list_as_of() both tell of an entry
SHARED = ("key", "value", "version", "writer", "via", "updated_at", "expires_at")
State = list[tuple[Any, ...]]


def shared(rows: list[Any]) -> State:
    return [tuple(row[name] for name in SHARED) for row in rows]


async def listed(caller: Caller, pattern: str = "") -> tuple[State, str]:
    """What is there now, and the cursor of the same statement."""
    *rows, bookmark = await caller.rows("list", pattern, None, bookmark=True)
    return shared(rows), bookmark["cursor"]


async def past(caller: Caller, pattern: str = "", **when: Any) -> State:
    return shared(await caller.rows("list_as_of", pattern, None, **when))


async def tick(caller: Caller, clock: Clock, by: float = 1) -> datetime:
    """Lets a client's pulse come, and returns a time for which what is there now is the past."""
    await clock.advance(by)
    await caller("expire")
    now: datetime = await clock.now()
    return now


@pytest.mark.core
async def test_a_key_at_its_versions(root: Caller, clock: Clock) -> None:
    await root("put", "k", 1)
    await root("put", "k", NULL, ttl=seconds(10))
    await root("delete", "k")
    await root("put", "k", {"n": 4})
    assert tuple(await root("get_as_of", "k", 1))[:4] == ("ok", "k", 1, 1)
    # as it was written, whenever it was to end
    await clock.advance(60)
    second = await root("get_as_of", "k", version=2)
    assert (second["status"], second["value"], second["version"], second["writer"]) == ("ok", NULL, 2, "admin")
    assert abs(second["expires_at"] - second["updated_at"] - seconds(10)) < seconds(0.001)
    assert (await root("get_as_of", "k", 4))["value"] == {"n": 4}
    for version in (3, 0, -1, 5, 2**62):
        assert tuple(await root("get_as_of", "k", version)) == ("missing", "k", *[None] * 7)
    assert (await root("get_as_of", "none", 1))["status"] == "missing"


@pytest.mark.core
async def test_the_states_at_cursors(root: Caller) -> None:
    before = await root("cursor")
    await root.rows("put_many", ["a/1", "a/2", "b/1"], [1, 2, 3])
    first = await root("cursor")
    await root("put", "a/1", 10)
    await root("delete", "a/2")
    await root("put", "a/3", 30)
    second = await root("cursor")
    await root("put", "a/2", 20)

    async def keys(cursor: str, *arguments: Any, **named: Any) -> list[tuple[str, Any, int]]:
        rows = await root.rows("list_as_of", *arguments, cursor=cursor, **named)
        assert {row["cursor"] for row in rows} <= {cursor}
        return [(row["key"], row["value"], row["version"]) for row in rows]

    assert await keys(before) == []
    assert await keys(first) == [("a/1", 1, 1), ("a/2", 2, 1), ("b/1", 3, 1)]
    assert await keys(second) == [("a/1", 10, 2), ("a/3", 30, 1), ("b/1", 3, 1)]
    assert await keys(first, "a/*") == [("a/1", 1, 1), ("a/2", 2, 1)]
    assert await keys(first, "**/1") == [("a/1", 1, 1), ("b/1", 3, 1)]
    # pages
    assert await keys(first, "", 2) == [("a/1", 1, 1), ("a/2", 2, 1)]
    assert await keys(first, "", 2, "a/2") == [("b/1", 3, 1)]
    *rows, bookmark = await root.rows("list_as_of", "none/*", cursor=first, bookmark=True)
    assert (rows, bookmark["key"], bookmark["cursor"]) == ([], None, first)
    for key, cursor, value in (
        ("a/1", first, 1), ("a/1", second, 10), ("a/2", first, 2), ("a/2", second, None), ("a/3", first, None), ("a/1", before, None),
    ):  # fmt: skip
        row = await root("get_as_of", key, cursor=cursor)
        assert (row["status"], row["value"]) == ("missing" if value is None else "ok", value)


@pytest.mark.core("every case")
@pytest.mark.parametrize("writes", [1, 7, 8, 9, 10, 40, 300])
async def test_every_version_is_found(root: Caller, writes: int) -> None:
    """Near the newest, in the middle and at the ends, in a key written regularly and in one written all at once."""
    cursors = []
    await root("put", "other", 0)
    for number in range(1, writes + 1):
        cursors.append(await root("cursor"))
        if number % 50 == 0:
            await root.rows("put_many", ["bulk"] * 50, [1] * 50)
        await root("put", "k", number)
    cursors.append(await root("cursor"))
    for version in (
        range(writes + 1) if writes < 50 else [*range(12), *range(12, writes - 10, 17), *range(writes - 10, writes + 1)]
    ):
        row = await root("get_as_of", "k", cursor=cursors[version])
        assert (row["version"], row["value"]) == ((version, version) if version else (None, None))
        state = [(row["key"], row["version"]) for row in await root.rows("list_as_of", "k", cursor=cursors[version])]
        assert state == ([("k", version)] if version else [])


@pytest.mark.core("every case")
@pytest.mark.parametrize("seed", first_of(range(4)))
async def test_every_past_state_stays_what_it_was(root: Caller, session: MakeAgent, clock: Clock, seed: int) -> None:
    """What was listed, with transactions under way and rolled back, is listed again as of its cursor and its time."""
    random_ = random.Random(seed)
    writers = [await session() for _ in range(3)]
    open_: dict[int, Any] = {}
    states: list[tuple[State, dict[str, Any]]] = []
    start = await root("cursor")
    for step in range(60):
        number = random_.randrange(3)
        writer = writers[number]
        # a writer's own keys, so that nobody waits for anybody
        keys = [f"w{number}/{n}" for n in range(4)]
        if number not in open_ and random_.random() < 0.4:
            open_[number] = writer.transaction()
            await open_[number].start()
        for _ in range(random_.choice([0, 1, 1, 3, 20])):
            key = random_.choice(keys)
            if random_.random() < 0.2:
                await writer("delete", key)
            else:
                await writer("merge", key, step, random_.choice(["replace", "add"]))
        if number in open_ and random_.random() < 0.5:
            await getattr(open_.pop(number), random_.choice(["commit", "commit", "rollback"]))()
        state, cursor = await listed(root)
        states.append((state, {"cursor": cursor}))
        at = await tick(root, clock)
        assert await listed(root) == (state, cursor)
        states.append((state, {"at": at}))
    for transaction in open_.values():
        await transaction.rollback()
    for state, when in states:
        assert await past(root, **when) == state
    for _ in range(100):
        state, when = random_.choice(states)
        key = f"w{random_.randrange(3)}/{random_.randrange(4)}"
        row = await root("get_as_of", key, **when)
        assert shared([row]) == ([entry for entry in state if entry[0] == key] or [(key, *[None] * 6)])
    # and of every point inside of every page: what folding the changes up to there gives
    for limit in (7, 1000):
        state, cursor = {}, start
        while True:
            *page, bookmark = await root.rows("changes", cursor, [""], limit)
            for change in page:
                if change["value"] is None:
                    state.pop(change["key"], None)
                else:
                    state[change["key"]] = (change["value"], change["version"])
                if random_.random() < 0.2 or not change["whole"]:
                    found = await root.rows("list_as_of", cursor=change["cursor"])
                    assert {row["key"]: (row["value"], row["version"]) for row in found} == state
            if bookmark["cursor"] == cursor:
                break
            cursor = bookmark["cursor"]


@pytest.mark.core
async def test_a_time_stands_for_the_point_recorded_before_it(root: Caller, clock: Clock) -> None:
    await root("put", "k", 1)
    first = await tick(root, clock)
    await root("put", "k", 2)
    # written, and not recorded yet
    await clock.advance(5)
    between = await clock.now()
    assert (await root("get_as_of", "k", at=between))["value"] == 1
    await root("expire")
    second = await clock.now()
    for at, value in ((first, 1), (between, 1), (second, 2)):
        assert (await root("get_as_of", "k", at=at))["value"] == value
    # the feed goes on from there
    (row,) = await root.rows("list_as_of", at=first)
    assert [change["value"] for change in (await root.rows("changes", row["cursor"]))[:-1]] == [2]
    with refused("PS007"):
        await root("get_as_of", "k", at=await clock.now() + seconds(60))
    with refused("PS023") as caught:
        await root("get_as_of", "k", at=first - seconds(86400))
    assert "The first moment known here is" in caught.value.hint


@pytest.mark.core
async def test_what_is_recorded(root: Caller, clock: Clock, database: Database) -> None:
    points = "select at, epoch, seen::text from pgstate.feed_point order by at"
    # by migrate
    assert len(database.sql(points)) == 1
    await tick(root, clock)
    # nothing was written
    assert len(database.sql(points)) == 1
    await root("put", "k", 1)
    await tick(root, clock)
    await tick(root, clock)
    assert len(database.sql(points)) == 2
    # one right after another, as of a client that closes
    for number in (2, 3):
        await root("put", "k", number)
        await root("expire")
    assert len(database.sql(points)) == 4
    # a clock that was set back: later all the same
    last = database.sql(points)[-1][0]
    await clock.advance(-3600)
    await root("put", "k", 4)
    await root("expire")
    assert database.sql(points)[-1][0] > last
    assert len(database.sql(points)) == 5
    # many clients: ten a second are enough
    await clock.advance(7200)
    database.sql(
        "insert into pgstate.feed_point select pgstate._now() + make_interval(secs => n * 0.01), epoch, seen"
        " from generate_series(1, 10) n, (select * from pgstate.feed_point order by at limit 1) first"
    )
    await clock.advance(0.5)
    await root("put", "k", 5)
    for _ in range(2):
        await root("expire")
    assert len(database.sql(points)) in (15, 16)
    await tick(root, clock, 2)
    assert len(database.sql(points)) == 16


async def test_two_points_in_the_wrong_order_are_put_right(root: Caller, clock: Clock, database: Database) -> None:
    """As if one who records were held up between taking a snapshot and looking at the clock."""
    await root("put", "k", 1)
    early = await tick(root, clock)
    await root("put", "k", 2)
    late = await tick(root, clock)
    database.sql(
        "insert into pgstate.feed_point select a.at + interval '1 s', a.epoch, b.seen from pgstate.feed_point a, pgstate.feed_point b"
        f" where a.at = (select max(at) from pgstate.feed_point) and b.at = (select max(at) from pgstate.feed_point where at <= '{early}')"
    )
    await clock.advance(5)
    assert (await root("get_as_of", "k", at=late))["value"] == 2
    assert (await root("get_as_of", "k", at=await clock.now()))["value"] == 2
    # of two with the same xmax, the one where less still ran
    database.sql(
        "insert into pgstate.feed_point select at + interval '2 s', epoch,"
        " (pg_snapshot_xmax(seen)::text::bigint - 1 || ':' || pg_snapshot_xmax(seen) || ':' || pg_snapshot_xmax(seen)::text::bigint - 1)::pg_snapshot"
        f" from pgstate.feed_point where at = (select max(at) from pgstate.feed_point where at <= '{late}')"
    )
    assert (await root("get_as_of", "k", at=await clock.now()))["value"] == 2


@pytest.mark.core
async def test_what_had_expired(root: Caller, clock: Clock) -> None:
    await root("put", "s", 1, ttl=seconds(10))
    await root("put", "x", 1)
    alive = await tick(root, clock)
    cursor = await root("cursor")
    await clock.advance(60)
    # by a time: what had expired by then, whether or not its version was written
    expired = await clock.now()
    early = await root("cursor")
    assert (await root("get", "s"))["status"] == "missing"
    assert (await root("get_as_of", "s", at=alive))["value"] == 1
    assert (await root("get_as_of", "s", at=expired))["status"] == "missing"
    assert [row["key"] for row in await root.rows("list_as_of", at=alive)] == ["s", "x"]
    assert [row["key"] for row in await root.rows("list_as_of", at=expired)] == ["x"]
    # by a cursor: what had expired when the last change before it was written
    assert early == cursor
    assert (await root("get_as_of", "s", cursor=cursor))["value"] == 1
    await root("put", "x", 2)
    late = await root("cursor")
    assert (await root("get_as_of", "s", cursor=late))["status"] == "missing"
    await root("expire")
    recorded = await root("cursor")
    assert (await root("get_as_of", "s", cursor=recorded))["status"] == "missing"
    assert [row["key"] for row in await root.rows("list_as_of", cursor=late)] == ["x"]
    # the page of changes that ends in it
    (change,) = [change for change in await root.rows("changes", cursor) if change["op"] == "expire"]
    assert (await root("get_as_of", "s", cursor=change["cursor"]))["status"] == "missing"
    assert (await root("get_as_of", "s", cursor=cursor))["value"] == 1


@pytest.mark.core
async def test_in_a_transaction_that_writes(root: Caller, session: MakeAgent, clock: Clock) -> None:
    other = await session()
    await root("put", "k", 1)
    at = await tick(root, clock)
    for isolation in ("read_committed", "repeatable_read"):
        transaction = root.transaction(isolation=isolation)
        await transaction.start()
        cursor = await root("cursor")
        await root("put", "k", 2)
        inside = await root("cursor")
        for when in ({"cursor": cursor}, {"cursor": inside}, {"at": at}):
            # its own changes come with its commit
            assert (await root("get_as_of", "k", **when))["value"] == 1
        await other("put", "other", 1)
        ahead = await other("cursor")
        if isolation == "repeatable_read":
            with refused("PS020"):
                async with root.transaction():
                    await root("get_as_of", "other", cursor=ahead)
        else:
            assert (await root("get_as_of", "other", cursor=ahead))["value"] == 1
        await transaction.rollback()


@pytest.mark.core
async def test_after_a_restore(root: Caller, clock: Clock, database: Database) -> None:
    await root("put", "k", 1)
    await root("put", "gone", 1)
    first = await tick(root, clock)
    cursor = await root("cursor")
    await root("put", "k", 2)
    await root("delete", "gone")
    await clock.advance(10)
    # as after a restore into another cluster
    database.sql("update pgstate.install set identity = '1:1'")
    await root.execute("select set_config('pgstate.identity', '', false)")
    points = "select count(*) from pgstate.feed_point"
    before = database.sql(points)
    await root("expire")
    # transaction ids mean nothing until a write begins the next epoch
    assert database.sql(points) == before
    with refused("PS022"):
        await root("get_as_of", "k", cursor=cursor)
    # what was recorded belongs to the ids of before
    assert (await root("get_as_of", "k", at=first))["value"] == 1
    *rows, bookmark = await root.rows("list_as_of", at=first, bookmark=True)
    assert ([row["key"] for row in rows], bookmark["cursor"]) == (["gone", "k"], None)
    await root("put", "k", 3)
    with refused("PS021"):
        await root("get_as_of", "k", cursor=cursor)
    with refused("PS021"):
        await root.rows("list_as_of", cursor=cursor)
    second = await tick(root, clock)
    await root("put", "k", 4)
    third = await tick(root, clock)
    for at, value in ((first, 1), (second, 3), (third, 4)):
        assert (await root("get_as_of", "k", at=at))["value"] == value
    *rows, bookmark = await root.rows("list_as_of", at=first, bookmark=True)
    # the feed cannot go on from a time before the restore
    assert ([row["key"] for row in rows], bookmark["cursor"]) == (["gone", "k"], None)
    assert [row["key"] for row in await root.rows("list_as_of", at=second)] == ["k"]


async def test_a_history_whose_oldest_versions_are_gone(root: Caller, database: Database) -> None:
    cursors = []
    for number in range(1, 31):
        await root("put", "k", number)
        cursors.append(await root("cursor"))
    database.sql("delete from pgstate.version where key = 'k' and version <= 10")
    for version, cursor in enumerate(cursors, 1):
        row = await root("get_as_of", "k", cursor=cursor)
        assert row["version"] == (version if version > 10 else None)


async def test_a_search_far_from_where_it_guessed(root: Caller, database: Database) -> None:
    """A key of very many versions, of which few are kept, in a feed where very much else happened in between."""
    cursors = []
    for number in range(1, 31):
        if number == 15:
            database.sql("select setval('pgstate.version_seq', 1000000000000)")
        await root("put", "k", number)
        cursors.append(await root("cursor"))
    for table in ("version", "entry"):
        database.sql(f"update pgstate.{table} set version = version + (1::bigint << 60) where key = 'k'")
    for number, cursor in enumerate(cursors, 1):
        assert (await root("get_as_of", "k", cursor=cursor))["value"] == number
        assert [row["value"] for row in await root.rows("list_as_of", cursor=cursor)] == [number]


@pytest.mark.core
async def test_what_is_asked_wrongly(root: Caller) -> None:
    await root("put", "k", 1)
    cursor = await root("cursor")
    now = "now() - interval '1 s'"
    await root.refuses(
        "PS007",
        "get_as_of('k')",
        f"get_as_of('k', 1, '{cursor}')",
        f"get_as_of('k', 1, at => {now})",
        f"get_as_of('k', cursor => '{cursor}', at => {now})",
        "list_as_of('')",
        f"list_as_of('', cursor => '{cursor}', at => {now})",
        f"list_as_of('', 0, cursor => '{cursor}')",
        f"list_as_of('', 100001, cursor => '{cursor}')",
        "get_as_of('k', at => 'infinity')",
    )
    await root.refuses("PS001", "get_as_of('a//b', 1)", "get_as_of(null, 1)", f"list_as_of('', 1, 'a//b', '{cursor}')")
    await root.refuses("PS002", f"list_as_of('a**', cursor => '{cursor}')", f"list_as_of(null, cursor => '{cursor}')")
    await root.refuses("PS020", "get_as_of('k', cursor => 'x')", "list_as_of('', cursor => '')")
    await root.refuses("PS023", "get_as_of('k', at => '-infinity')", "list_as_of('', at => '2001-01-01')")


@pytest.mark.core
async def test_grants_of_today_decide(root: Caller, agent: MakeAgent, database: Database) -> None:
    alice = await agent("alice", "read a/**", "write b/**")
    await root.rows("put_many", ["a/1", "a-secret", "b/1", "c/1", "a/2"], [1, 2, 3, 4, 5])
    cursor = await alice("cursor")
    await root.rows("delete_many", ["a/2", "c/1"])
    assert [row["key"] for row in await alice.rows("list_as_of", cursor=cursor)] == ["a/1", "a/2"]
    assert (await alice("get_as_of", "a/2", cursor=cursor))["value"] == 5
    assert (await alice("get_as_of", "a/2", 1))["value"] == 5
    said = await alice.refuses(
        "PS010",
        *(f"get_as_of('{key}', cursor => '{cursor}')" for key in ("c/1", "c/none", "a-secret", "b/1")),
        *(f"get_as_of('{key}', 1)" for key in ("c/1", "c/none", "b/1")),
        *(f"list_as_of('{pattern}', cursor => '{cursor}')" for pattern in ("c/**", "c/1", "none/**", "b/*")),
        # before anything else is looked at
        "get_as_of('c/1')",
        "get_as_of('c/1', cursor => 'x')",
        "list_as_of('c/**', at => 'infinity')",
    )
    assert len(said) == 1
    database.sql("insert into pgstate.feed_point select now() - interval '1 h', epoch, seen from pgstate.feed_point")
    login = await alice.fetchval("select session_user::text")
    assert database.sql("select count(*) from pgstate.list_as_of('', at => now() - interval '10 s')", login) == [(0,)]
    assert database.sql("select count(*) from pgstate.feed_point", SUPERUSER) == [(2,)]
