"""Two sessions at one key, held at the moment that matters by a lock and seen there in pg_locks."""

from __future__ import annotations

from typing import Any

import pytest

from concurrency._open import BOTH, Begin, Start
from conftest import Clock
from sql._caller import Caller, MakeAgent, refused, seconds


async def _history(root: Caller, key: str) -> list[tuple[Any, ...]]:
    return [(v["version"], v["op"], v["value"]) for v in reversed(await root.rows("history", key))]


@pytest.mark.core("every case")
@BOTH
@pytest.mark.parametrize("named", [{"expect": 1}, {"expect_value": 0}], ids=["version", "value"])
async def test_of_two_compare_and_sets_one_wins(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, commits: bool, named: dict[str, Any]
) -> None:
    await root("put", "k", 0)
    first, second = await begin(), await session()
    assert await first.caller("put", "k", 1, **named) == ("ok", 2, None)
    waiting = await blocked(second, second("put", "k", 2, **named))
    await first.end(commits)
    assert await waiting == (("conflict", 2, 1) if commits else ("ok", 2, None))
    assert await _history(root, "k") == [(1, "put", 0), (2, "put", 1 if commits else 2)]


@pytest.mark.core("every case")
@BOTH
@pytest.mark.parametrize("known", [False, True], ids=["new", "tombstone"])
async def test_of_two_creations_one_wins(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, commits: bool, known: bool
) -> None:
    if known:
        await root("put", "k", 0)
        await root("delete", "k")
    base = 2 if known else 0
    first, second = await begin(), await session()
    assert await first.caller("put", "k", 1, expect=0) == ("ok", base + 1, None)
    waiting = await blocked(second, second("put", "k", 2, expect=0))
    await first.end(commits)
    assert await waiting == (("conflict", base + 1, 1) if commits else ("ok", base + 1, None))
    assert (await root("get", "k"))["value"] == (1 if commits else 2)


@BOTH
async def test_writes_that_wait_build_on_what_was_committed(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, commits: bool
) -> None:
    await root("put", "n", 0)
    first, put, merge = await begin(), await session(), await session()
    await first.caller("merge", "n", 10, "add")
    await first.caller("put", "new", 1)
    waiting = await blocked(merge, merge("merge", "n", 1, "add", return_value=True))
    also = await blocked(put, put("put", "new", 2))
    await first.end(commits)
    assert await waiting == ("ok", 3 if commits else 2, 11 if commits else 1)
    assert await also == ("ok", 2 if commits else 1, None)


@BOTH
async def test_a_put_and_a_delete(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, commits: bool
) -> None:
    await root.rows("put_many", ["a", "b", "c"], [0, 0, 0])
    first, second, third = await begin(), await session(), await session()
    await first.caller("delete", "a")
    await first.caller("put", "b", 1)
    put = await blocked(second, second.rows("put_many", ["a", "c"], [2, 2]))
    deleted = await blocked(third, third("delete", "b", expect=1))
    await first.end(commits)
    assert [(r["status"], r["version"]) for r in await put] == [("ok", 3 if commits else 2), ("ok", 2)]
    assert await deleted == (("conflict", 2, 1) if commits else ("ok", 2, None))
    changed = (await root.rows("history", "a"))[0]
    assert (changed["op"], changed["created"]) == ("put", commits)


@pytest.mark.core
@BOTH
async def test_an_expiry_is_written_once(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, clock: Clock, commits: bool
) -> None:
    await root("put", "k", 0, ttl=seconds(10))
    await root("put", "j", 0, ttl=seconds(10))
    await clock.advance(11)
    first, second, third = await begin(), await session(), await begin()
    # a put is under way that says itself that the entry expired: passed over by expire()
    await third.caller("put", "j", 1)
    await first.caller("expire")
    waiting = await blocked(second, second("put", "k", 1))
    await first.end(commits)
    assert await waiting == ("ok", 3, None)
    await third.end(commits)
    await root("expire")
    assert await _history(root, "k") == [(1, "put", 0), (2, "expire", None), (3, "put", 1)]
    assert await _history(root, "j") == [(1, "put", 0), (2, "expire", None)] + [(3, "put", 1)] * commits


@pytest.mark.core
@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
async def test_what_expires_during_a_wait_has_expired(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, clock: Clock, many: bool
) -> None:
    await root.rows("put_many", ["j", "k"], [0, 0], ttls=[None, seconds(10)])

    async def put(caller: Caller, **options: Any) -> tuple[Any, ...]:
        if not many:
            return await caller("put", "k", 1, **options)
        options = {f"{name}s": [None, value] for name, value in options.items()}
        *_, row = await caller.rows("put_many", ["j", "k"], [1, 1], **options)
        return row["status"], row["version"], row["value"]

    # who held the lock changed nothing: PostgreSQL does not look at the row again
    first, second = await begin(), await session()
    await first.caller("claim", "k", seconds(99))
    waiting = await blocked(second, put(second, expect=1))
    await clock.advance(11)
    await first.end(False)
    assert await waiting == ("conflict", 0, None)

    await root("put", "k", 2)
    first = await begin()
    await first.caller("claim", "k", seconds(99))
    waiting = await blocked(second, put(second, ttl=seconds(10)))
    await clock.advance(11)
    await first.end(False)
    assert await waiting == ("ok", 4, None)
    # its time begins when it was written
    assert (await root("get", "k"))["value"] == 1
    assert await _history(root, "k") == [(1, "put", 0), (2, "expire", None), (3, "put", 2), (4, "put", 1)]


@pytest.mark.core
@pytest.mark.parametrize("end", ["j", "k"])
async def test_what_expires_while_another_key_is_waited_for_is_not_merged_into(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, clock: Clock, end: str
) -> None:
    """Keys are locked in order, so `j` is, and is looked at, before `k` is waited for."""
    await root.rows("put_many", ["j", "k"], [5, 5], ttls=[seconds(10) if key == end else None for key in ("j", "k")])
    first, second = await begin(), await session()
    await first.caller("claim", "k", seconds(99))
    waiting = await blocked(second, second.rows("write_many", ["merge"] * 2, ["j", "k"], [1, 1], reducers=["add"] * 2))
    await clock.advance(11)
    await first.end(False)
    assert [row["status"] for row in await waiting] == ["ok", "ok"]
    for key in ("j", "k"):
        assert (await root("get", key))["value"] == (1 if key == end else 6)
    assert [op for _, op, _ in await _history(root, end)] == ["put", "expire", "merge"]


@pytest.mark.core
async def test_under_repeatable_read_a_lost_race_is_an_error(root: Caller, session: MakeAgent) -> None:
    other = await session()
    await root("put", "k", 0)
    for call in (("put", "k", 9), ("put", "new", 9), ("merge", "k", 1, "add"), ("claim", "k", seconds(9))):
        transaction = other.transaction(isolation="repeatable_read")
        await transaction.start()
        await other("get", "k")
        await root("put", call[1], 1)
        with refused("40001"):
            await other(*call)
        await transaction.rollback()
        await root("delete", "new")
