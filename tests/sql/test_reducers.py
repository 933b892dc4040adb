"""The built-in reducers, frozen for ever because history replays them: this table is what they must always do."""

from __future__ import annotations

from typing import Any

import pytest

from sql._caller import NULL, Caller, refused

MISSING = object()
MISMATCH = object()
SAME = object()

CASES: dict[str, list[tuple[Any, Any, Any]]] = {
    # current, operand, result
    "replace": [
        (MISSING, 1, 1),
        ([1], {"a": 1}, {"a": 1}),
        (1, NULL, NULL),
        ({"a": 1}, {"a": 1}, SAME),
        (1, 1.0, SAME),
    ],
    "first": [(MISSING, 1, 1), (1, 2, SAME), (NULL, 2, SAME), (MISSING, NULL, NULL)],
    "add": [
        (MISSING, 2, 2),
        (1, 2, 3),
        (0.1, 0.2, 0.3),
        (5, -5, 0),
        (7, 0, SAME),
        (9007199254740993, 9007199254740993, 18014398509481986),
        ("1", 2, MISMATCH),
        (1, "2", MISMATCH),
        (MISSING, "2", MISMATCH),
        (NULL, 1, MISMATCH),
        (1, NULL, MISMATCH),
        ([], 1, MISMATCH),
    ],
    "max": [
        (MISSING, 1, 1),
        (1, 2, 2),
        (2, 1, SAME),
        (9, 10, 10),
        ("9", "10", SAME),
        ("B", "a", "a"),
        (1, 1.0, SAME),
        (MISSING, [1], MISMATCH),
        (1, "2", MISMATCH),
        (NULL, 1, MISMATCH),
    ],
    "min": [
        (MISSING, "x", "x"),
        (2, 1, 1),
        (1, 2, SAME),
        (10, 9, 9),
        ("9", "10", "10"),
        ("a", "B", "B"),
        (1, 1.0, SAME),
        ("1", 1, MISMATCH),
        (MISSING, True, MISMATCH),
    ],
    "append": [
        (MISSING, [1], [1]),
        (MISSING, "x", ["x"]),
        ([1], [2, 2], [1, 2, 2]),
        ([1], "x", [1, "x"]),
        ([1], {"a": 1}, [1, {"a": 1}]),
        ([1], [[2]], [1, [2]]),
        ([1], NULL, [1, None]),
        ([1], [], SAME),
        (MISSING, [], []),
        ({"a": 1}, [1], MISMATCH),
        (NULL, [1], MISMATCH),
    ],
    "union": [
        (MISSING, [2, 1, 2], [2, 1]),
        ([1, 2], [3, 2, 1, 3], [1, 2, 3]),
        ([{"a": 1, "b": 2}], [{"b": 2, "a": 1}, {"a": 1}], [{"a": 1, "b": 2}, {"a": 1}]),
        ([1], 1, SAME),
        ([1], [1.0], SAME),
        ([1], "1", [1, "1"]),
        ([1, 1], [2], [1, 1, 2]),
        ([], [None], [None]),
        ("x", [1], MISMATCH),
    ],
    "merge": [
        (MISSING, {"a": 1}, {"a": 1}),
        ({"a": {"x": 1}, "b": 1}, {"a": {"y": 2}}, {"a": {"y": 2}, "b": 1}),
        ({"a": 1}, {"a": None}, {"a": None}),
        ({"a": 1}, {}, SAME),
        ({"a": 1}, [1], MISMATCH),
        ([1], {"a": 1}, MISMATCH),
        (MISSING, 1, MISMATCH),
    ],
    "deep_merge": [
        (MISSING, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"x": 1, "z": [1]}, "b": 1}, {"a": {"y": 2, "z": [2]}}, {"a": {"x": 1, "y": 2, "z": [2]}, "b": 1}),
        ({"a": {"x": {"p": 1}}}, {"a": {"x": {"q": 2}}}, {"a": {"x": {"p": 1, "q": 2}}}),
        ({"a": {"x": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": {"x": 1}}, {"a": {"x": None}}, {"a": {"x": None}}),
        ({"a": {"x": 1}}, {"a": {}}, SAME),
        ({"a": 1}, [], MISMATCH),
    ],
    "messages": [
        (MISSING, [{"id": "1", "t": "a"}], [{"id": "1", "t": "a"}]),
        (
            [{"id": "1", "t": "a"}, {"id": "2", "t": "b"}],
            [{"id": "1", "t": "A"}, {"id": "3", "t": "c"}],
            [{"id": "1", "t": "A"}, {"id": "2", "t": "b"}, {"id": "3", "t": "c"}],
        ),
        ([{"id": "1", "t": "a"}], {"id": "2"}, [{"id": "1", "t": "a"}, {"id": "2"}]),
        (MISSING, [{"id": 1, "n": 1}, {"id": 1, "n": 2}], [{"id": 1, "n": 2}]),
        ([{"t": "a"}], [{"t": "a"}], [{"t": "a"}, {"t": "a"}]),
        # what has no id, or says so, is never the same as another
        (MISSING, [{"id": None, "t": 1}, {"id": None, "t": 2}], [{"id": None, "t": 1}, {"id": None, "t": 2}]),
        ([{"id": None, "t": 1}], [{"id": None, "t": 2}], [{"id": None, "t": 1}, {"id": None, "t": 2}]),
        # an id may look like a place
        ([{"t": "first"}, {"id": 1}], [{"id": 3}], [{"t": "first"}, {"id": 1}, {"id": 3}]),
        ([{"id": "1"}], [{"id": "1"}], SAME),
        (["text"], [{"id": 1}], ["text", {"id": 1}]),
        ([], ["text"], MISMATCH),
        ({"id": 1}, [{"id": 1}], MISMATCH),
        (MISSING, [], []),
    ],
}


@pytest.mark.core("every case")
@pytest.mark.parametrize("reducer", CASES)
async def test_a_reducer_does_what_it_always_did(root: Caller, reducer: str) -> None:
    for number, (current, operand, result) in enumerate(CASES[reducer]):
        key = f"k{number}"
        before = 0
        if current is not MISSING:
            before = (await root("put", key, current))["version"]
        shown = f"{reducer}: {current!r}, {operand!r}"
        if result is MISMATCH:
            with refused("PS006"):
                await root("merge", key, operand, reducer)
            result, after = current, before
        else:
            after = before if result is SAME else before + 1
            result = current if result is SAME else result
            assert await root("merge", key, operand, reducer, return_value=True) == ("ok", after, result), shown
        entry = await root("get", key)
        assert (entry["value"], entry["version"]) == ((None, None) if result is MISSING else (result, after)), shown
        assert len(await root.rows("history", key)) == after, shown


async def test_a_merge_that_cannot_be_computed_harms_no_other(root: Caller) -> None:
    """Sums too large for a number, and objects too deep to walk."""
    deep = "{" + '"a":{' * 2000 + "}" * 2001
    for key, operand, reducer in (("big", "9e131071", "add"), ("deep", deep, "deep_merge")):
        await root.fetch("select * from pgstate.put($1, $2::text::jsonb)", key, operand)
        rows = await root.fetch(
            """select status, code from pgstate.merge_many(array['good', $1], array['1', $2::text::jsonb],
                 array['replace', $3])""",
            key,
            operand,
            reducer,
        )
        assert rows[0] == ("ok", None), key
        assert rows[1] in [("invalid", "PS006"), ("ok", None)], key
