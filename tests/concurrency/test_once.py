"""A write that is sent again while its first attempt is under way happens once."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any
from uuid import uuid4

import pytest

from concurrency._open import BOTH, Begin, Start
from sql._caller import Caller, MakeAgent, seconds


@pytest.mark.core
@BOTH
@pytest.mark.parametrize("used", [False, True], ids=["first turn", "later turn"])
@pytest.mark.parametrize("single", [False, True], ids=["many", "one"])
async def test_a_statement_sent_again_waits_for_the_first(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, commits: bool, used: bool, single: bool
) -> None:
    lane = uuid4()
    if used:
        await root("write_many", ["merge"], ["n"], [0], reducers=["add"], lane=lane, turn=1)
    turn = 2 if used else 1

    async def send(caller: Caller, **options: Any) -> Any:
        if single:
            return await caller(
                "write_one", "merge", "n", 1, reducer="add", return_value=True, lane=lane, turn=turn, **options
            )
        return await caller(
            "write_many", ["merge"], ["n"], [1], reducers=["add"], return_values=[True], lane=lane, turn=turn, **options
        )

    first, second = await begin(), await session()
    outcome = await send(first.caller)
    # whatever patience it has with others' locks: given up here, and sent on another lane, it would happen twice
    waiting = await blocked(second, send(second, lock_timeout="1ms"))
    await first.end(commits)
    assert (await waiting)[:5] == outcome[:5]
    assert (await root("get", "n"))["value"] == 1
    assert [v["value"] for v in await root.rows("history", "n")] == [1] + [0] * used


@BOTH
async def test_a_claim_sent_again_waits_for_the_first(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, commits: bool
) -> None:
    await root.rows("put_many", ["t/a", "t/b"], [0, 0])
    first, second = await begin(), await session()
    lane = uuid4()
    taken = await first.caller("claim_next", "t/*", seconds(60), lane=lane, turn=1)
    waiting = await blocked(second, second("claim_next", "t/*", seconds(60), lane=lane, turn=1))
    await first.end(commits)
    again = await waiting
    assert again["key"] == taken["key"] == "t/a"
    assert (again["token"] == taken["token"]) == commits
    assert (await root("claim_next", "t/*", seconds(60)))["key"] == "t/b"


@BOTH
@pytest.mark.parametrize("same", [True, False], ids=["same request", "another request"])
async def test_one_op_id_at_the_same_time(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, commits: bool, same: bool
) -> None:
    first, second, third = await begin(), await session(), await session()
    operand = 1 if same else 2
    assert await first.caller("merge", "n", 1, "add", op_id="id", return_value=True) == ("ok", 1, 1)
    again = second.rows("merge_many", ["n"], [operand], ["add"], op_ids=["id"], return_value=True)
    waiting = await blocked(second, again)
    await first.end(commits)
    (row,) = await waiting
    done = 1 if commits or same else 2
    if same or not commits:
        assert (row["status"], row["version"], row["value"]) == ("ok", 1, done)
    else:
        assert (row["status"], row["code"]) == ("invalid", "PS030")
    assert (await third("get", "n"))["value"] == done
    assert len(await root.rows("history", "n")) == 1


async def test_op_ids_are_taken_in_order(root: Caller, session: MakeAgent, begin: Begin, blocked: Start) -> None:
    holder, first, second = await begin(), await session(), await session()
    await holder.caller("put", "x", 0, op_id="b")

    def send(caller: Caller, ids: list[str], keys: list[str]) -> Awaitable[Any]:
        return caller.rows("put_many", keys, [1] * len(ids), op_ids=ids)

    one = await blocked(first, send(first, ["a", "b", "c"], ["k", "l", "m"]))
    two = await blocked(second, send(second, ["c", "b", "a"], ["m", "l", "k"]))
    await holder.end(False)
    # the same op_ids for the same requests: whoever comes second gets the outcome of whoever came first
    outcomes = [[(r["status"], r["version"]) for r in await task] for task in (one, two)]
    assert outcomes == [[("ok", 1)] * 3] * 2
    assert await root.fetchval("select count(*) from pgstate.list()") == 3
