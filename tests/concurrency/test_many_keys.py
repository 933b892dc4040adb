"""Writes of several keys: order of locks, and guards that hold until the commit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from _cases import first_of
from concurrency._open import BOTH, Begin, Start
from sql._caller import Caller, MakeAgent


def _put(caller: Caller, keys: list[str]) -> Awaitable[Any]:
    return caller.rows("put_many", keys, [1] * len(keys))


def _merge(caller: Caller, keys: list[str]) -> Awaitable[Any]:
    return caller.rows("merge_many", keys, [1] * len(keys), ["add"] * len(keys))


def _delete(caller: Caller, keys: list[str]) -> Awaitable[Any]:
    return caller.rows("delete_many", keys)


def _apply(caller: Caller, keys: list[str]) -> Awaitable[Any]:
    guards = [{"key": f"{key}/guarded", "absent": True} for key in keys[:2]]
    return caller.rows("apply", guards, [{"op": "put", "key": key, "value": 1} for key in keys])


@pytest.mark.parametrize("write", [_put, _merge, _delete, _apply])
@pytest.mark.parametrize("exist", [True, False], ids=["existing", "new"])
@pytest.mark.parametrize("size", first_of([3, 300]))
async def test_opposite_orders_do_not_deadlock(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, write: Callable[..., Any], exist: bool, size: int
) -> None:
    keys = [f"k{n:03}" for n in range(size)]
    if exist:
        await root.rows("put_many", keys, [0] * size)
    holder, first, second = await begin(), await session(), await session()
    await holder.caller("put", keys[size // 2], 0)
    if not exist and write is _delete:
        # what is not there is not locked
        assert {r["status"] for r in await _delete(first, [keys[0], keys[-1]])} == {"missing"}
        return
    one = await blocked(first, write(first, keys))
    two = await blocked(second, write(second, keys[::-1]))
    await holder.end(False)
    await asyncio.gather(one, two)


@pytest.mark.core
@pytest.mark.parametrize("write", [_put, _merge])
async def test_a_key_created_meanwhile_does_not_turn_the_order_of_locks(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, write: Callable[..., Any]
) -> None:
    await root.rows("put_many", ["b", "c"], [0, 0])
    holder, first, second, creator = await begin(), await session(), await session(), await session()
    await holder.caller("put", "c", 0)
    one = await blocked(first, write(first, ["a", "b", "c"]))
    assert await creator("put", "a", 0) == ("ok", 1, None)
    two = await blocked(second, write(second, ["a", "b"]))
    await holder.end()
    assert {r["status"] for task in (one, two) for r in await task} == {"ok"}
    assert {r["key"]: r["version"] for r in await root.rows("list")} == {"a": 3, "b": 3, "c": 3}


@pytest.mark.core("every case")
@BOTH
@pytest.mark.parametrize("guard", [{"absent": True}, {"version": 0}])
async def test_two_applies_that_each_guard_the_others_absence(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, commits: bool, guard: dict[str, Any]
) -> None:
    first, second = await begin(), await session()
    done = await first.caller.rows("apply", [{"key": "b", **guard}], [{"op": "put", "key": "a", "value": 1}])
    assert [r["status"] for r in done] == ["ok", "ok"]
    waiting = await blocked(
        second, second.rows("apply", [{"key": "a", **guard}], [{"op": "put", "key": "b", "value": 1}])
    )
    await first.end(commits)
    assert [r["status"] for r in await waiting] == (["conflict", "skipped"] if commits else ["ok", "ok"])
    assert [r["key"] for r in await root.rows("list")] == (["a"] if commits else ["b"])


@pytest.mark.core
async def test_an_absent_guard_holds_against_a_plain_write(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start
) -> None:
    first, second = await begin(), await session()
    await first.caller.rows("apply", [{"key": "b", "absent": True}], [{"op": "put", "key": "a", "value": 1}])
    waiting = await blocked(second, second("put", "b", 1))
    await first.end()
    assert await waiting == ("ok", 1, None)


async def test_two_grants_at_once_both_count(
    root: Caller, agent: MakeAgent, session: MakeAgent, begin: Begin, blocked: Start
) -> None:
    alice = await agent("alice")
    first, second = await begin(), await session()
    await first.caller("grant_access", "alice", "a/**", "write")
    waiting = await blocked(second, second("grant_access", "alice", "b/**", "write"))
    await first.end()
    await waiting
    assert {r["status"] for r in await alice.rows("put_many", ["a/x", "b/x"], [1, 1])} == {"ok"}
