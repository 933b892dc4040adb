"""apply: guards and operations on several keys, all or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conftest import Clock
from sql._caller import NULL, Caller, MakeAgent, refused, seconds

PUT = {"op": "put", "key": "out", "value": 1}


def _plain(rows: list[Any]) -> list[tuple[Any, ...]]:
    return [(r["ord"], r["key"], r["status"], r["version"], r["value"]) for r in rows]


async def _passes(root: Caller, *guards: dict[str, Any]) -> bool:
    """Whether an apply with these guards does its operation, which must agree with the statuses returned."""
    before = (await root("get", "out"))["version"] or 0
    rows = await root.rows("apply", list(guards), [PUT])
    done = {r["status"] for r in rows} == {"ok"}
    if not done:
        assert rows[-1]["status"] == "skipped"
    assert ((await root("get", "out"))["version"] or 0) == before + done
    return done


@pytest.mark.core
async def test_each_guard_holds_or_stops_everything(root: Caller) -> None:
    await root("put", "there", {"a": 1})
    await root("put", "null", NULL)
    await root("put", "gone", 1)
    await root("delete", "gone")
    token = (await root("claim", "null", seconds(60)))["token"]
    for guard in (
        {"key": "there", "exists": True},
        {"key": "there", "version": 1},
        {"key": "there", "value": {"a": 1.0}},
        {"key": "null", "value": None},
        {"key": "null", "token": token},
        {"key": "null", "exists": True},
        {"key": "new", "absent": True},
        {"key": "new", "version": 0},
        {"key": "gone", "absent": True},
        {"key": "gone", "version": 0},
    ):
        assert await _passes(root, guard), guard
    for guard in (
        {"key": "there", "absent": True},
        {"key": "there", "version": 2},
        {"key": "there", "version": 0},
        {"key": "there", "value": None},
        {"key": "there", "token": token},
        {"key": "null", "token": token + 1},
        {"key": "null", "value": 0},
        {"key": "never", "exists": True},
        {"key": "never", "value": None},
        {"key": "never", "version": 1},
        {"key": "never", "token": token},
        {"key": "gone", "exists": True},
        {"key": "gone", "version": 2},
    ):
        assert not await _passes(root, guard), guard
        assert not await _passes(root, {"key": "there", "exists": True}, guard), guard
    # a key that was only guarded as absent is there for nobody
    assert (await root("get", "new"))["status"] == "missing"
    assert await root.rows("history", "new") == []
    assert await root("put", "new", 1, expect=0) == ("ok", 1, None)


@pytest.mark.core
async def test_what_apply_returns(root: Caller) -> None:
    await root("put", "b", 5)
    rows = await root.rows(
        "apply",
        [{"key": "b", "version": 1}, {"key": "c", "absent": True}],
        [
            {"op": "merge", "key": "b", "operand": 1, "reducer": "add"},
            {"op": "put", "key": "c", "value": None, "ttl": 5, "priority": 3, "not_before": "2030-01-01T00:00:00Z"},
            {"op": "put", "key": "a", "value": "x", "expect": 0, "ttl": "1 hour"},
            {"op": "delete", "key": "b", "expect": 2},
        ],
    )
    assert _plain(rows) == [
        (1, "b", "ok", 1, None),
        (2, "c", "ok", 0, None),
        (3, "b", "ok", 2, None),
        (4, "c", "ok", 1, None),
        (5, "a", "ok", 1, None),
        (6, "b", "ok", 3, None),
    ]
    c = await root("get", "c")
    assert (c["value"], c["priority"], c["not_before"].year) == (NULL, 3, 2030)
    assert c["expires_at"] - c["updated_at"] == seconds(5)
    rows = await root.rows(
        "apply",
        [{"key": "c", "value": 1}, {"key": "a", "exists": True}],
        [
            {"op": "delete", "key": "a"},
            {"op": "put", "key": "a", "value": 1, "expect": 0},
            {"op": "delete", "key": "zz"},
        ],
    )
    assert _plain(rows) == [
        (1, "c", "conflict", 1, NULL),
        (2, "a", "skipped", None, None),
        (3, "a", "skipped", None, None),
        (4, "a", "skipped", None, None),
        (5, "zz", "missing", None, None),
    ]
    assert (await root("get", "a"))["version"] == 1


@pytest.mark.core
async def test_a_misspelt_guard_is_no_guard_and_no_pass(root: Caller) -> None:
    guards: list[Any] = [
        {"key": "k", "exist": True},
        {"key": "k"},
        {"key": "k", "exists": False},
        {"key": "k", "exists": "true"},
        {"key": "k", "absent": None},
        {"key": "k", "version": None},
        {"key": "k", "version": "1"},
        {"key": "k", "version": 1.5},
        {"key": "k", "token": None},
        {"key": "k", "exists": True, "version": 1},
        {"key": "k", "exists": True, "also": 1},
        {"exists": True},
        {"key": None, "absent": True},
        {"key": 5, "absent": True},
        "k",
        None,
        [],
    ]
    operations: list[Any] = [
        {"key": "k", "value": 1},
        {"op": "set", "key": "k", "value": 1},
        {"op": "check", "key": "k"},
        {"op": "absent", "key": "k"},
        {"op": "put", "key": "k", "value": 1, "exepct": 0},
        {"op": "put", "key": "k", "value": 1, "expect": None},
        {"op": "put", "key": "k", "value": 1, "expect": "0"},
        {"op": "put", "key": "k", "value": 1, "priority": 3000000000},
        {"op": "put", "key": "k", "value": 1, "priority": 1.5},
        {"op": "put", "key": "k", "value": 1, "ttl": True},
        {"op": "put", "key": "k", "value": 1, "ttl": "soon"},
        {"op": "put", "key": "k", "value": 1, "not_before": "soon"},
        {"op": "put", "key": "k", "value": 1, "not_before": 5},
        {"op": "merge", "key": "k", "operand": 1, "reducer": None},
        {"op": "complete", "key": "k"},
        "k",
    ]
    for arguments in [([g], [PUT]) for g in guards] + [([], [PUT, o]) for o in operations] + [({}, [PUT]), ([], {})]:
        try:
            with refused("PS007"):
                await root.rows("apply", *arguments)
        except BaseException as error:
            raise AssertionError(f"{json.dumps(arguments)}: {error}") from error
    assert await root.rows("list") == []


async def test_a_bad_row_is_an_error_of_the_call(agent: MakeAgent, root: Caller) -> None:
    alice = await agent("alice", "read a/**", "write a/**", "read ro/**")
    good = {"op": "put", "key": "a/x", "value": 1}
    for code, bad in (
        ("PS001", {"op": "put", "key": "a//b", "value": 1}),
        ("PS003", {"op": "put", "key": "a/b"}),
        ("PS005", {"op": "merge", "key": "a/b", "operand": 1, "reducer": "sum"}),
        (
            "PS006",
            {"op": "merge", "key": "a/b", "operand": 1, "reducer": "append"} | {"operand": "x", "reducer": "add"},
        ),
        ("PS007", {"op": "put", "key": "a/b", "value": 1, "ttl": 0}),
        ("PS007", {"op": "put", "key": "a/b", "value": 1, "expect": -1}),
        ("PS010", {"op": "put", "key": "b/x", "value": 1}),
        ("PS010", {"op": "put", "key": "ro/x", "value": 1}),
    ):
        with refused(code) as caught:
            await alice("apply", [], [good, bad])
        # which of them it is
        assert code == "PS010" or str(bad["key"]) in str(caught.value)
    for guard in ({"key": "b/x", "absent": True}, {"key": "b/x", "exists": True}, {"key": "b/x", "version": 1}):
        with refused("PS010"):
            await alice("apply", [guard], [good])
    assert await root.rows("list") == []


async def test_two_applies_cannot_both_see_the_other_absent(root: Caller) -> None:
    first = await root.rows("apply", [{"key": "b", "absent": True}], [{"op": "put", "key": "a", "value": 1}])
    second = await root.rows("apply", [{"key": "a", "absent": True}], [{"op": "put", "key": "b", "value": 1}])
    assert [r["status"] for r in first + second] == ["ok", "ok", "conflict", "skipped"]


async def test_an_apply_with_an_op_id_happens_once(root: Caller) -> None:
    guard, add = {"key": "n", "absent": True}, {"op": "merge", "key": "n", "operand": 1, "reducer": "add"}
    expected = [(1, "n", "ok", 0, None), (2, "n", "ok", 1, None)]
    for _ in range(2):
        assert _plain(await root.rows("apply", [guard], [add], op_id="id")) == expected
    with refused("PS030"):
        await root.rows("apply", [], [add], op_id="id")
    with refused("PS010"):
        await root.rows("apply", [], [add], op_id="new", agent="nobody")
    with refused("PS006"):
        await root.rows("apply", [], [add | {"operand": "x"}], op_id="new")
    assert _plain(await root.rows("apply", [], [add], op_id="new")) == [(1, "n", "ok", 2, None)]
    assert await root.rows("apply", None, None) == []


async def test_finishing_a_task_in_one_apply(root: Caller, clock: Clock) -> None:
    await root("put", "tasks/1", "work")
    token = (await root("claim", "tasks/1", seconds(10)))["token"]
    finish = (
        [{"key": "tasks/1", "token": token}],
        [
            {"op": "merge", "key": "total", "operand": 1, "reducer": "add"},
            {"op": "complete", "key": "tasks/1", "token": token},
        ],
    )
    await clock.advance(11)
    assert [r["status"] for r in await root.rows("apply", *finish)] == ["stale", "skipped", "stale"]
    token = (await root("claim", "tasks/1", seconds(10)))["token"]
    finish[0][0]["token"] = finish[1][1]["token"] = token
    assert [r["status"] for r in await root.rows("apply", *finish)] == ["ok", "ok", "ok"]
    assert [r["status"] for r in await root.rows("apply", *finish)] == ["stale", "skipped", "stale"]
    assert (await root("get", "total"))["value"] == 1
