"""Set-based writes: one status per row, duplicates in order, atomicity, lanes that make a resent statement harmless."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from sql._caller import NULL, Caller, MakeAgent, refused, seconds


def _plain(rows: list[Any]) -> list[tuple[Any, ...]]:
    return [(r["ord"], r["status"], r["version"], r["value"], r["code"]) for r in rows]


@pytest.mark.core
async def test_a_key_may_come_several_times_in_a_batch(root: Caller) -> None:
    rows = await root.rows(
        "write_many",
        ["put", "merge", "put", "delete", "put", "put", "merge", "delete", "delete"],
        ["k", "k", "j", "k", "k", "k", "j", "j", "j"],
        values=[1, 2, "j", None, 5, 6, "x", None, None],
        expects=[0, None, None, 2, 0, 0, None, None, None],
        reducers=[None, "add", None, None, None, None, "replace", None, None],
        return_values=[None, True, None, None, None, None, None, None, None],
    )
    assert _plain(rows) == [
        (1, "ok", 1, None, None),
        (2, "ok", 2, 3, None),
        (3, "ok", 1, None, None),
        (4, "ok", 3, None, None),
        (5, "ok", 4, None, None),
        (6, "conflict", 4, 5, None),
        (7, "ok", 2, None, None),
        (8, "ok", 3, None, None),
        (9, "missing", None, None, None),
    ]
    history = [(v["version"], v["op"], v["value"], v["created"]) for v in await root.rows("history", "k")]
    assert history == [(4, "put", 5, True), (3, "delete", None, False), (2, "merge", 3, False), (1, "put", 1, True)]


@pytest.mark.core
async def test_a_bad_row_harms_no_neighbour(agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/**", "write a/**", "read ro/**", "write wo/**")
    rows = await alice.rows(
        "put_many",
        ["a/1", "..", "b/1", "a/2", "ro/1", "wo/1", "wo/2", "a/1", None],
        [1, 1, 1, None, 1, 1, 1, 2, 1],
        expects=[None, None, None, None, None, None, 0, 1, None],
    )
    assert _plain(rows) == [
        (1, "ok", 1, None, None),
        (2, "invalid", None, None, "PS001"),
        (3, "denied", None, None, "PS010"),
        (4, "invalid", None, None, "PS003"),
        (5, "denied", None, None, "PS010"),
        (6, "ok", None, None, None),
        (7, "denied", None, None, "PS010"),
        (8, "ok", 2, None, None),
        (9, "invalid", None, None, "PS001"),
    ]
    assert all((r["message"] is None) == (r["code"] is None) for r in rows)
    assert rows[2]["message"] == rows[4]["message"] == "access denied"
    read = await alice.rows("get_many", ["a/1", "wo/1", "a/1", "ro/9", "x//y", "b/1"])
    assert [(r["ord"], r["status"], r["value"], r["code"]) for r in read] == [
        (1, "ok", 2, None),
        (2, "denied", None, "PS010"),
        (3, "ok", 2, None),
        (4, "missing", None, None),
        (5, "invalid", None, "PS001"),
        (6, "denied", None, "PS010"),
    ]


async def test_set_based_forms_of_each_write(root: Caller) -> None:
    assert _plain(await root.rows("put_many", ["a", "b"], [1, NULL], ttls=[None, seconds(5)])) == [
        (1, "ok", 1, None, None),
        (2, "ok", 1, None, None),
    ]
    assert (await root("get", "b"))["expires_at"] is not None
    merged = await root.rows("merge_many", ["a", "a", "b"], [1, 1, 1], ["add"] * 3, return_value=True)
    assert _plain(merged) == [(1, "ok", 2, 2, None), (2, "ok", 3, 3, None), (3, "invalid", None, None, "PS006")]
    deleted = await root.rows("delete_many", ["a", "b", "c"], [3, 7, None])
    assert _plain(deleted) == [
        (1, "ok", 4, None, None),
        (2, "conflict", 1, NULL, None),
        (3, "missing", None, None, None),
    ]
    for function, *arguments in (
        ("put_many", [], []),
        ("merge_many", None, None, None),
        ("delete_many", []),
        ("write_many", None, None),
        ("get_many", []),
    ):
        assert await root.rows(function, *arguments) == []


async def test_a_completion_compares_the_value_that_it_expects(root: Caller) -> None:
    await root.rows("put_many", ["a", "b"], [1, 2])
    tokens = [(await root("claim", key, seconds(30)))["token"] for key in ("a", "b")]
    many = {"expect_values": ["other", 2], "tokens": tokens}
    assert _plain(await root.rows("write_many", ["complete"] * 2, ["a", "b"], **many)) == [
        (1, "conflict", 1, 1, None),
        (2, "ok", 2, None, None),
    ]
    assert (await root("write_one", "complete", "a", expect_value=2, token=tokens[0]))["status"] == "conflict"
    assert (await root("write_one", "complete", "a", expect_value=1, token=tokens[0]))["status"] == "ok"


async def test_arrays_of_unequal_length_are_refused(root: Caller) -> None:
    await root.refuses(
        "PS007",
        "write_many(array['put'], array['a', 'b'])",
        "put_many(array['a'], array['1', '2']::jsonb[])",
        "put_many(array['a', 'b'], array['1', '2']::jsonb[], expects => array[0])",
        "put_many(array['a'], array['1']::jsonb[], op_ids => array['x', 'y'])",
        "merge_many(array['a', 'b'], array['1', '2']::jsonb[], array['add'])",
        "delete_many(array['a'], expects => array[1, 2])",
    )
    assert await root.rows("list") == []


@pytest.mark.core
async def test_atomic_means_all_or_nothing(root: Caller) -> None:
    await root("put", "b", 1)
    rows = await root.rows("write_many", ["put"] * 3, ["a", "b", "c"], [1, 2, 3], expects=[None, 7, 0], atomic=True)
    assert _plain(rows) == [
        (1, "skipped", None, None, None),
        (2, "conflict", 1, 1, None),
        (3, "skipped", None, None, None),
    ]
    rows = await root.rows("write_many", ["put"] * 2, ["a", "x//y"], [1, 2], atomic=True)
    assert _plain(rows) == [(1, "skipped", None, None, None), (2, "invalid", None, None, "PS001")]
    assert [r["key"] for r in await root.rows("list")] == ["b"]
    rows = await root.rows("write_many", ["put"] * 3, ["a", "b", "c"], [1, 2, 3], expects=[None, 1, 0], atomic=True)
    assert [r["version"] for r in rows] == [1, 2, 1]


@pytest.mark.core
async def test_a_lane_answers_a_resent_statement_with_its_outcome(root: Caller) -> None:
    lane = uuid4()
    await root("put", "null", NULL)

    async def send(turn: int) -> list[Any]:
        return await root.rows(
            "write_many",
            ["merge", "put", "put", "merge", "put"],
            ["n", "null", "..", "null", "null"],
            values=[1, 1, 1, NULL, 2],
            expects=[None, 9, None, None, None],
            reducers=["add", None, None, "first", None],
            return_values=[True, False, False, True, False],
            lane=lane,
            turn=turn,
        )

    first = await send(1)
    assert _plain(first) == [
        (1, "ok", 1, 1, None),
        (2, "conflict", 1, NULL, None),
        (3, "invalid", None, None, "PS001"),
        (4, "ok", 1, NULL, None),
        (5, "ok", 2, None, None),
    ]
    again = await send(1)
    assert _plain(again) == _plain(first)
    assert [r["message"] for r in again] == [r["message"] for r in first]
    assert (await root("get", "n"))["value"] == 1
    assert (await send(2))[0]["value"] == 2
    with refused("PS031"):
        await send(1)
    # a turn may be left out: the statement before never reached the server
    assert (await send(9))[0]["value"] == 3
    assert await root.fetchval("select count(*) from pgstate.list()") == 2


async def test_a_lane_belongs_to_one_agent_and_counts_from_1(root: Caller, agent: MakeAgent) -> None:
    alice, bob = await agent("alice", "write a/**"), await agent("bob", "write a/**")
    lane = uuid4()
    for turn in (0, -1, None):
        with refused("PS031"):
            await alice("write_many", ["put"], ["a/x"], [1], lane=lane, turn=turn)
    await alice("write_many", ["put"], ["a/x"], [1], lane=lane, turn=1)
    for turn in (1, 2):
        with refused("PS031"):
            await bob("write_many", ["put"], ["a/x"], [2], lane=lane, turn=turn)
    assert (await root("get", "a/x"))["value"] == 1


async def test_lanes_cover_apply_and_claims(root: Caller) -> None:
    lane = uuid4()
    operations = [{"op": "merge", "key": "n", "operand": 1, "reducer": "add"}]
    for _ in range(2):
        (row,) = await root.rows("apply", [], operations, lane=lane, turn=1)
        assert (row["status"], row["version"]) == ("ok", 1)
    for _ in range(2):
        failed = await root.rows("apply", [{"key": "n", "version": 9}], operations, lane=lane, turn=2)
        assert [(r["status"], r["version"], r["value"]) for r in failed] == [
            ("conflict", 1, 1),
            ("skipped", None, None),
        ]
    claims = [await root("claim_next", "*", seconds(60), lane=lane, turn=3) for _ in range(2)]
    assert claims[0] == claims[1]
    assert claims[0]["status"] == "ok" and claims[0]["value"] == 1
    held = [await root("claim", "n", seconds(60), lane=lane, turn=4) for _ in range(2)]
    assert held[0] == held[1] and held[0]["status"] == "held"
    missing = [await root("claim_next", "x/*", seconds(60), lane=lane, turn=5) for _ in range(2)]
    assert missing[0] == missing[1] and missing[0]["status"] == "missing"
    # nothing to apply is an outcome as well
    for _ in range(2):
        assert await root.rows("apply", [], [], lane=lane, turn=6) == []


async def test_wake_stays_as_the_caller_had_it(root: Caller) -> None:
    async with root.transaction():
        await root("write_many", ["put"], ["a"], [1], wake=False)
        assert await root.fetchval("select current_setting('pgstate.wake', true)") != "off"
        await root.execute("set local pgstate.wake = 'off'")
        await root("write_many", ["put"], ["a"], [2], wake=False)
        assert await root.fetchval("select current_setting('pgstate.wake', true)") == "off"


async def test_watched_says_whether_a_wake_up_is_worth_sending(root: Caller, agent: MakeAgent) -> None:
    async def watched(caller: Caller, key: str) -> Any:
        (row,) = await caller.rows("write_many", ["put"], [key], [1], wake=False)
        return row["watched"]

    alice = await agent("alice", "read a/**", "write a/**")
    assert await watched(root, "b/x") is False
    await root("subscribe", ["admin"], ["b/**"])
    assert await watched(root, "b/x") is True
    assert await watched(root, "c") is False
    # a row that was refused tells nothing about who watches there
    assert not await watched(alice, "b/x")


@pytest.mark.core
@pytest.mark.parametrize("op", ["put", "merge"])
async def test_a_lone_write_wakes_its_watchers_itself_unless_somebody_else_is_writing(
    root: Caller, connect_as: Callable[..., Awaitable[asyncpg.Connection]], op: str
) -> None:
    """While others write, a NOTIFY in the writing transaction would make their commits wait for its flush."""
    heard = asyncio.Event()
    listener, other = await connect_as(), await connect_as()
    await listener.add_listener(
        await root.fetchval("select pgstate.subscribe(array['admin'], array['k'])"), lambda *_: heard.set()
    )
    await root("put", "k", 1)
    async with asyncio.timeout(30):
        await heard.wait()

    async def write() -> Any:
        return (await root("write_one", op, "k", 1, reducer="add" if op == "merge" else None, wake=None))["watched"]

    async with other.transaction():
        await other.execute("select pg_current_xact_id()")
        heard.clear()
        assert await write() is True
        # what was sent would be here before the answer to this
        await root.fetchval("select pg_notify($1, '')", "elsewhere")
        await listener.fetchval("select 1")
        assert not heard.is_set()
    async with asyncio.timeout(30):
        # autovacuum may be writing
        while await write() is not None:
            pass
        await heard.wait()
    assert await root.fetchval("select current_setting('pgstate.wake', true)") != "off"
