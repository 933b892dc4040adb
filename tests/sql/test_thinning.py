"""What grows with time: points of the feed become fewer with their age and go with their history; lanes go."""

from __future__ import annotations

import pytest

from _server import SUPERUSER
from conftest import Clock, Database
from sql._caller import Caller, MakeAgent, seconds
from sql.test_as_of import tick
from sql.test_retention import HOUR, drain

DAY = 24 * HOUR


@pytest.fixture
async def inside(session: MakeAgent) -> Caller:
    return await session(SUPERUSER)


async def every(inside: Caller, gap: int, oldest: float, youngest: float) -> None:
    """Points of so many seconds apart, all of the same state."""
    await inside.execute(
        "insert into pgstate.feed_point select t, 1, '3:3:' from generate_series("
        " date_bin('1 hour', pgstate._now(), '2000-01-01 00:00+00') - $1::interval, pgstate._now() - $2::interval, $3::interval) t",
        seconds(oldest), seconds(youngest), seconds(gap),
    )  # fmt: skip


async def gaps(inside: Caller, oldest: float, youngest: float) -> set[float]:
    """How many seconds lie between points of that age."""
    rows = await inside.fetch(
        "select distinct extract(epoch from at - lag(at) over (order by at))::float from pgstate.feed_point"
        " where at between pgstate._now() - $1::interval and pgstate._now() - $2::interval",
        seconds(oldest), seconds(youngest),
    )  # fmt: skip
    return {row[0] for row in rows} - {None}


async def points(inside: Caller) -> list[float]:
    return [
        row[0] for row in await inside.fetch("select extract(epoch from at)::float from pgstate.feed_point order by 1")
    ]


@pytest.mark.core
async def test_points_become_fewer_with_their_age(root: Caller, inside: Caller, clock: Clock) -> None:
    # no full hour is among those that are deleted below
    await clock.advance(HOUR - ((await clock.now()).timestamp() - HOUR / 2) % HOUR)
    await inside.execute("delete from pgstate.feed_point")
    await every(inside, 10, 31 * DAY, 30 * DAY + 2 * HOUR)
    await every(inside, 10, 2 * DAY, 0)
    # none that comes to the age while this goes on
    await inside.execute(
        "delete from pgstate.feed_point where at between pgstate._now() - $1::interval and pgstate._now() - $2::interval",
        seconds(DAY + 60), seconds(DAY - 60),
    )  # fmt: skip
    before = await points(inside)
    assert tuple(await root("maintain", 1000)) == ("ok", 0, True)
    await drain(root, 1000)
    assert await gaps(inside, 40 * DAY, 30 * DAY + HOUR) == {3600.0}
    assert await gaps(inside, 1.9 * DAY, DAY + HOUR) == {60.0}
    assert await gaps(inside, DAY - 60, 0) == {10.0}
    after = await points(inside)
    # no other points than there were, the first among them
    assert set(after) < set(before) and after[0] == before[0]
    # and once more: nothing; then those that have come to the age meanwhile
    assert tuple(await root("maintain")) == ("ok", 0, False)
    assert await points(inside) == after
    await clock.advance(10 * HOUR)
    await drain(root)
    assert await gaps(inside, DAY + 9 * HOUR, DAY + 60) == {60.0}
    await clock.advance(40 * DAY)
    await drain(root)
    assert await gaps(inside, 44 * DAY, 0) == {3600.0}


@pytest.mark.core
async def test_small_steps_leave_the_same(root: Caller, inside: Caller) -> None:
    await inside.execute("delete from pgstate.feed_point")
    await every(inside, 7, 1.5 * DAY, DAY)
    for limit in (3, 10, 17):
        await root("maintain", limit)
    steps = 0
    while (await root("maintain", 100))["more"]:
        steps += 1
    assert steps > 10
    left = await points(inside)
    # the first of each minute
    assert {int(at // 60) for at in left} == set(range(int(left[0] // 60), int(left[-1] // 60) + 1))
    assert len(left) == len({int(at // 60) for at in left})
    assert all(at % 60 < 7 for at in left)


@pytest.mark.core
async def test_a_time_stands_for_the_newest_point_that_is_left(root: Caller, clock: Clock, database: Database) -> None:
    # in minutes of their own: the point of the migration, the first one here, and all others
    times = []
    for number in range(7):
        if number < 2:
            await clock.advance(61 - (await clock.now()).timestamp() % 60)
        await root("put", "k", number)
        times.append(await tick(root, clock, 8 if number else 1))
    await clock.advance(DAY + HOUR)
    assert [(await root("get_as_of", "k", at=at))["value"] for at in times] == list(range(7))
    await drain(root)
    assert [(await root("get_as_of", "k", at=at))["value"] for at in times] == [0, 1, 1, 1, 1, 1, 1]
    # what is known by its cursor or version is known as before
    assert [(await root("get_as_of", "k", number))["value"] for number in range(1, 8)] == list(range(7))


@pytest.mark.core
async def test_how_it_is_done_is_a_setting(root: Caller, inside: Caller) -> None:
    await inside.execute(
        "delete from pgstate.feed_point; delete from pgstate.thinning;"
        "insert into pgstate.thinning (older, every) values ('1 hour', '10 minutes')"
    )
    await every(inside, 10, 10 * HOUR, 0)
    await inside.execute("update pgstate.install set cursor_window = '2 hours'")
    await drain(root)
    assert await gaps(inside, 9 * HOUR, 2.2 * HOUR) == {600.0}
    assert await gaps(inside, 1.9 * HOUR, 0) == {10.0}


@pytest.mark.core
async def test_points_go_with_their_history(root: Caller, inside: Caller, clock: Clock) -> None:
    await root("set_policy", "a/**", keep="1 version")
    installed = await inside.fetchval("select installed_at from pgstate.install")
    times = []
    for number in range(4):
        await root("put", "a/x", number)
        times.append(await tick(root, clock))
    await drain(root)
    await clock.advance(2 * HOUR)
    assert (await root("maintain"))["removed"] == 3
    assert len(await points(inside)) == 1
    gone = [f"get_as_of('a/x', at => '{at}')" for at in times[:-1]]
    assert len(await root.refuses("PS021", *gone)) == len(gone)
    assert (await root("get_as_of", "a/x", at=times[-1]))["value"] == 3
    await root.refuses("PS023", f"get_as_of('a/x', at => '{installed - seconds(60)}')")


@pytest.mark.core
async def test_lanes_that_nobody_uses_go(root: Caller, session: MakeAgent, inside: Caller, clock: Clock) -> None:
    lanes = [f"11111111-2222-4333-8444-55555555555{n}" for n in range(3)]

    async def use(caller: Caller, lane: str, turn: int) -> None:
        await caller("write_one", "put", f"k/{lane}", turn, lane=lane, turn=turn)

    for lane in lanes:
        await use(root, lane, 1)
    await clock.advance(DAY + HOUR)
    await use(root, lanes[0], 2)
    busy = await session()
    async with busy.transaction():
        # it is in use just now: nobody waits for anybody
        await use(busy, lanes[1], 2)
        await root("maintain")
        assert await inside.fetchval("select count(*) from pgstate.lane") == 2
    await clock.advance(DAY + HOUR)
    await root("maintain")
    assert await inside.fetchval("select count(*) from pgstate.lane") == 0
    await use(root, lanes[0], 3)
