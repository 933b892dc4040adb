"""put_many, merge_many, delete_many, get_many: items with options of their own, and an outcome for each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from client.conftest import Connect
from pgstate import State, errors, ops


async def test_a_refused_row_of_a_set_is_a_result(agent: Connect, state: State) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    await state.put("a/held", 1)
    await state.claim("a/held")
    results = await alice.put_many(
        [("a/x", 1), ("a/x", 2), ("b/x", 1), ("a/held", 2), ("no key", 1), ("a/y", {1, 2}), ("a/z", float("inf"))]
    )
    assert [(r.key, r.status, r.version, r.code) for r in results] == [
        ("a/x", "ok", 1, None),
        ("a/x", "ok", 2, None),
        ("b/x", "denied", None, "PS010"),
        ("a/held", "held", None, None),
        ("no key", "invalid", None, "PS001"),
        ("a/y", "ok", 1, None),
        ("a/z", "invalid", None, "PS003"),
    ]
    assert [r.ok for r in results] == [True, True, False, False, False, True, False]
    merged = await alice.merge_many([("a/n", 1, "add"), ("a/n", 2, "add"), ("a/n", "x", "add"), ("a/n", 1, "sum")])
    assert [(r.status, r.version, r.code) for r in merged] == [
        ("ok", 1, None), ("ok", 2, None), ("invalid", None, "PS006"), ("invalid", None, "PS005"),
    ]  # fmt: skip
    deleted = await alice.delete_many(["a/n", "a/n", "b/x", "a/held"])
    assert [(r.status, r.version) for r in deleted] == [("ok", 3), ("missing", None), ("denied", None), ("held", None)]


async def test_items_of_a_set_have_options_of_their_own(agent: Connect, state: State) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    home = alice.namespace("a")
    await state.put_many({"a/old": {"n": 1}, "a/held": 1, "a/text": "x"})
    claim = await home.claim("held")
    assert claim is not None
    soon = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    results = await home.put_many(
        [
            ops.put("new", 1, expect=0),
            ops.put("old", 2, expect=7),
            ops.put("old", 3, expect_value={"n": 1}),
            ops.put("old", 4, expect=2),
            ops.put("held", 2, token=claim.token + 1),
            ops.put("held", 2, token=claim.token),
            ops.put("later", 1, priority=3, not_before=soon, ttl=3600),
            ops.put("null", None),
            ("plain", 1),
            ops.put("nan", float("nan")),
            ops.put("once", 1) | {"op_id": "o"},
            ops.put("once", 1) | {"op_id": "o"},
            ops.put("once", 2) | {"op_id": "o"},
        ],
        ttl=60,
    )
    assert [(r.key, r.status, r.version, r.value, r.code) for r in results] == [
        ("new", "ok", 1, None, None),
        ("old", "conflict", 1, {"n": 1}, None),
        ("old", "ok", 2, None, None),
        ("old", "ok", 3, None, None),
        ("held", "stale", None, None, None),
        ("held", "ok", 2, None, None),
        ("later", "ok", 1, None, None),
        ("null", "ok", 1, None, None),
        ("plain", "ok", 1, None, None),
        ("nan", "invalid", None, None, "PS003"),
        ("once", "ok", 1, None, None),
        ("once", "ok", 1, None, None),
        ("once", "invalid", None, None, "PS030"),
    ]
    later, plain = await home.get_many(["later", "plain"])
    assert later is not None and (later.priority, later.not_before) == (3, soon)
    assert plain is not None and later.expires_at is not None and plain.expires_at is not None
    assert later.expires_at - plain.expires_at > timedelta(minutes=50)
    merged = await home.merge_many(
        [
            ops.merge("n", 1, "add", ttl=60),
            ("n", 2, "add"),
            ops.merge("held", 1, "add"),
            ops.merge("held", 1, "add", token=claim.token),
        ]
    )
    assert [(r.status, r.version) for r in merged] == [("ok", 1), ("ok", 2), ("held", None), ("ok", 3)]
    deleted = await home.delete_many(
        [ops.delete("n", expect=1), ops.delete("n", expect=2), "n", ops.delete("held", token=claim.token)]
    )
    assert [(r.status, r.version) for r in deleted] == [("conflict", 2), ("ok", 3), ("missing", None), ("ok", 4)]


async def test_an_item_that_is_none_refuses_the_call(state: State) -> None:
    fine = ("k", 1)
    for items in (
        [fine, ("k",)],
        [fine, ("k", 1, 2)],
        [fine, (1, 2)],
        [fine, "kv"],
        [fine, 5],
        [fine, ops.merge("k", 1, "add")],
        [fine, ops.delete("k")],
        [fine, {"op": "put", "key": "k"}],
        [fine, {"op": "put", "value": 1}],
        [fine, ops.put("k", 1) | {"expects": 1}],
        [fine, ops.put("k", 1) | {"not_before": "soon"}],
        ops.put("k", 1),
    ):
        with pytest.raises(errors.InvalidArgument):
            await state.put_many(items)  # type: ignore[arg-type]
    for merges in ([("k",)], [("k", 1, "add", 2)], [ops.put("k", 1)], [{"op": "merge", "key": "k", "reducer": "add"}]):
        with pytest.raises(errors.InvalidArgument):
            await state.merge_many(merges)  # type: ignore[arg-type]
    for deletes in ([5], [("k", 1)], [ops.put("k", 1)]):
        with pytest.raises(errors.InvalidArgument):
            await state.delete_many(deletes)  # type: ignore[list-item]
    assert await state.get("k") is None


async def test_reading_many_tells_the_outcome_of_each_key(agent: Connect, state: State) -> None:
    alice = await agent("alice", "read a/**")
    await state.put_many({"a/x": 1, "b/x": 1})
    keys = ["a/x", "b/x", "a/none", "no key", "b/none", "a/x"]
    found = await alice.get_many(keys, return_errors=True)
    assert [type(one).__name__ for one in found] == [
        "Entry", "AccessDenied", "NoneType", "InvalidKey", "AccessDenied", "Entry",
    ]  # fmt: skip
    for refused, kind in ((keys, errors.PgStateError), (["a/x", "b/x"], errors.AccessDenied)):
        with pytest.raises(kind):
            await alice.get_many(refused)
    await alice.close()
    for return_errors in (True, False):
        with pytest.raises(errors.Closed):
            await alice.get_many(["a/x"], return_errors=return_errors)  # type: ignore[call-overload]
