"""Saves that come together: each is decided by itself, in order. What holds for each alone is in test_threads.py."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from conftest import Clock
from pgstate._codec import encode
from sql._caller import Caller, MakeAgent, refused, seconds
from sql._threads import LONG, hashes, ids, load, saved

pytestmark = pytest.mark.core

LANE = "11111111-2222-4333-8444-555555555555"
Save = tuple[str, dict[str, Any], dict[str, Any]]


async def save_all(caller: Caller, *saves: Save, chunks: bool = True, **shared: Any) -> list[asyncpg.Record]:
    """Saves (key, state, {column: value})."""
    encoded = [encode(state) for _, state, _ in saves]
    sent = [[*one.chunks.values()] if chunks else [] for one in encoded]
    columns = {name: [own.get(name) for _, _, own in saves] for name in {name for _, _, own in saves for name in own}}
    return await caller.rows(
        "save_checkpoints",
        [key for key, _, _ in saves],
        [len(one.names) for one in encoded],
        [name for one in encoded for name in one.names],
        [type_ for one in encoded for type_ in one.types],
        [data for one in encoded for data in one.data],
        chunk_counts=[len(one) for one in sent],
        chunk_types=[type_ for one in sent for type_, _ in one],
        chunk_data=[data for one in sent for _, data in one],
        **columns,
        **shared,
    )


async def test_one_without_an_id_where_ids_are_the_callers_own(root: Caller) -> None:
    await saved(root, "t/own", {"n": 1}, id="~")
    rows = await save_all(root, ("t/1", {"n": 1}, {}), ("t/own", {"n": 2}, {}), ("t/2", {"n": 1}, {}))
    assert [(row["status"], row["code"]) for row in rows] == [("ok", None), ("invalid", "PS007"), ("ok", None)]
    assert "is to be given" in rows[1]["message"] and rows[1]["id"] is None
    with refused("PS007"):
        await root("rollback_thread", "t/own", "~")
    # the end of time
    await saved(root, "t/last", {"n": 1}, id="ffffffff-ffff-6fff-bfff-ffffffffffff")
    with refused("PS007"):
        await saved(root, "t/last", {"n": 2})


async def test_a_name_of_a_run_that_is_too_long(root: Caller) -> None:
    rows = await save_all(root, ("t/1", {}, {"run_ids": "r" * 1901}), ("t/2", {}, {"run_ids": "r" * 1900}))
    assert [(row["status"], row["code"]) for row in rows] == [("invalid", "PS007"), ("ok", None)]
    assert "the name of a run" in rows[0]["message"]


async def test_one_refusal_among_many(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    alice = await agent("alice", "read t/**", "write t/**", "read r/**", "write w/**")
    claimed, base = await saved(root, "t/claimed", {"n": 1}), await saved(root, "t/8", {"n": 1})
    await root("put", "t/value", "x")
    gone = await saved(root, "t/gone", {"n": 1})
    await root("delete_thread", "t/gone")
    await saved(root, "t/old", {"n": 1}, ttl=seconds(10))
    token = (await root("claim", "t/claimed", seconds(100)))["token"]
    await clock.advance(11)
    rows = await save_all(
        alice,
        ("t/9", {"n": 1}, {}),
        ("b/1", {"n": 1}, {}),
        ("r/1", {"n": 1}, {}),
        ("w/1", {"n": 1}, {}),
        ("t/value", {"n": 1}, {}),
        ("t/claimed", {"n": 2}, {"parents": claimed}),
        ("t/claimed", {"n": 2}, {"tokens": token}),
        ("t/gone", {"n": 2}, {"parents": gone}),
        ("t/none", {"n": 2}, {"may_begins": False}),
        ("t/8", {"n": 2}, {"expect_heads": ""}),
        ("t/8", {"n": 2}, {"ttls": seconds(-1)}),
        ("t/8", {"n": 2}, {"namespaces": "x" * 1901}),
        ("t/old", {"n": 2}, {}),
        ("t/1", {"n": 1, "text": LONG}, {}),
    )
    assert [(row["ord"], row["status"], row["version"], row["code"]) for row in rows] == [
        (1, "ok", 1, None),
        (2, "denied", None, "PS010"),
        (3, "denied", None, "PS010"),
        (4, "denied", None, "PS010"),
        (5, "invalid", None, "PS040"),
        (6, "held", None, None),
        (7, "stale", None, None),
        (8, "missing", None, None),
        (9, "missing", None, None),
        (10, "conflict", None, None),
        (11, "invalid", None, "PS007"),
        (12, "invalid", None, "PS007"),
        # it expired, and was begun anew
        (13, "ok", 3, None),
        (14, "ok", 1, None),
    ]
    assert all((row["id"] is not None) == (row["status"] == "ok") for row in rows)
    assert all((row["message"] is not None) == (row["code"] is not None) for row in rows)
    assert rows[9]["head"] == base
    assert await load(root, "t/1") == {"n": 1, "text": LONG}
    assert await load(root, "t/old") == {"n": 2}
    assert await ids(root, "t/8") == [base]
    assert sorted(row["key"] for row in await root.rows("threads", "**")) == ["t/1", "t/8", "t/9", "t/claimed", "t/old"]


async def test_a_thread_several_times_goes_in_order(root: Caller) -> None:
    cursor = await root("cursor")
    rows = await save_all(
        root,
        ("t/1", {"n": 1}, {"expect_heads": "", "ids": "01"}),
        ("t/2", {"n": 1}, {}),
        # one that begins it again, as it does not know of the first
        ("t/1", {"n": 2}, {"expect_heads": "", "ids": "02"}),
        ("t/1", {"n": 3}, {"expect_heads": "01", "ids": "03", "may_begins": False, "ttls": seconds(60)}),
        ("t/1", {"n": 4}, {"expect_heads": "01", "ids": "04"}),
        # the same again changes nothing
        ("t/1", {"n": 3}, {"parents": "01", "ids": "03"}),
        ("t/1", {"n": 5}, {"namespaces": "inner", "ids": "05", "guard_counts": 1}),
        guards=["n"],
    )
    assert [(row["status"], row["version"]) for row in rows] == [
        ("ok", 1), ("ok", 1), ("conflict", None), ("ok", 2), ("conflict", None), ("ok", 2), ("ok", 3),
    ]  # fmt: skip
    assert await ids(root, "t/1", ns="") == ["03", "01"]
    entry = await root("get", "t/1")
    assert entry["value"] == {"checkpoint": "05", "ns": "inner", "checkpoints": 3, "bytes": 3, "ttl": 60}
    assert entry["expires_at"] is not None
    changes = [row for row in await root.rows("changes", cursor, ["t/**"]) if row["key"]]
    assert [(row["key"], row["version"], row["created"]) for row in changes] == [
        ("t/1", 1, True), ("t/2", 1, True), ("t/1", 2, False), ("t/1", 3, False),
    ]  # fmt: skip


async def test_guards_and_chunks_belong_to_their_rows(root: Caller) -> None:
    for key in ("t/1", "t/2"):
        for id_, state in (("01", {"a": 1, "b": 1}), ("02", {"a": 2, "b": 1})):
            await saved(root, key, state, id=id_)
    short = ("t/3", {"text": LONG}, {})
    rows = await save_all(
        root,
        ("t/1", {"a": 3}, {"parents": "01", "ids": "03", "guard_counts": 1}),
        short,
        ("t/2", {"a": 3}, {"parents": "01", "ids": "03", "guard_counts": 2}),
        ("t/2", {"a": 4}, {"parents": "01", "ids": "04", "guard_counts": 0}),
        guards=["b", "b", "a"],
        chunks=False,
    )
    assert [row["status"] for row in rows] == ["ok", "incomplete", "conflict", "ok"]
    assert set(rows[1]["missing"]) == hashes({"text": LONG})
    # what is sent with one thread is not another's
    rows = await save_all(root, ("t/4", {"text": LONG}, {}), short)
    assert [row["status"] for row in rows] == ["ok", "ok"]
    rows = await save_all(root, ("t/4", {"text": LONG}, {}), ("t/5", {"text": LONG}, {}), chunks=False)
    assert [row["status"] for row in rows] == ["ok", "incomplete"]


async def test_a_statement_that_is_sent_again(root: Caller) -> None:
    saves: list[Save] = [
        ("t/1", {"n": 1}, {}),
        ("t/2", {"text": LONG}, {}),
        ("t/3", {"n": 1}, {"parents": "none"}),
        ("a//b", {"n": 1}, {}),
        ("t/1", {"n": 2}, {}),
    ]
    once, twice = [await save_all(root, *saves, chunks=False, lane=LANE, turn=1, wake=None) for _ in range(2)]
    assert [row["status"] for row in once] == ["ok", "incomplete", "missing", "invalid", "ok"]
    for before, after in zip(once, twice, strict=True):
        assert {**dict(after), "watched": None} == {**dict(before), "watched": None}
    assert len(await ids(root, "t/1")) == 2


async def test_arrays_that_do_not_fit(root: Caller) -> None:
    good: dict[str, Any] = {"keys": ["t/1", "t/2"], "counts": [1, 0], "names": ["a"], "types": ["json"], "data": [b"1"]}
    bad: list[dict[str, Any]] = [
        {"counts": [1]}, {"counts": [1, 1]}, {"counts": [2, -1]}, {"counts": [1, None]}, {"counts": []},
        {"types": ["json", "json"]}, {"data": []}, {"versions": []}, {"chunk_counts": [1, 0]}, {"chunk_data": [b"1"]},
        {"guard_counts": [1, None]}, {"guards": ["a"]}, {"ids": ["01"]}, {"may_begins": [True] * 3},
        {"keys": [["t/1", "t/2"]]},
    ]  # fmt: skip
    for change in bad:
        with refused("PS007"):
            await root.rows("save_checkpoints", **{**good, **change})
    # a name that is null harms the others: no client sends it
    assert [row["status"] for row in await root.rows("save_checkpoints", **good)] == ["ok", "ok"]
    assert await root.rows("save_checkpoints", [], [], [], [], []) == []
    assert await load(root, "t/2") == {}


async def test_those_that_cross_do_not_deadlock(root: Caller, session: MakeAgent) -> None:
    """Each begins threads and goes on with others, in opposite orders."""
    keys = [f"t/{n}" for n in range(20)]
    for key in keys[::2]:
        await saved(root, key, {"n": 0})
    others = [await session() for _ in range(4)]

    async def work(caller: Caller, turn: int) -> None:
        for round_ in range(5):
            order = keys if (turn + round_) % 2 else keys[::-1]
            rows = await save_all(caller, *((key, {"n": turn}, {}) for key in order))
            assert {row["status"] for row in rows} == {"ok"}

    await asyncio.gather(*(work(caller, turn) for turn, caller in enumerate(others)))
    assert {row["checkpoints"] for row in await root.rows("threads", "t/*")} == {20, 21}
