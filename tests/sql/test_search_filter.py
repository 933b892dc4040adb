"""The language of filters on values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conftest import Database
from sql._caller import NULL, Caller, MakeAgent

VALUE: dict[str, Any] = {
    "a": 5, "s": "x", "b": {"c": "x", "d": [1, 2]}, "t": ["x", "y"], "items": [{"n": 1}, {"m": 2, "o": [3]}], "z": None,
    "dotted.name": 1, "$cash": 2, "big": 10**30, "text": '"\\\n\u2028', "true": True, "": 3,
}  # fmt: skip
FITS: list[dict[str, Any]] = [
    {}, {"a": 5}, {"a": 5.0}, {"a": {"$eq": 5}}, {"a": {"$gt": 4, "$lte": 5}}, {"a": {"$gte": 5, "$lt": 5.1}}, {"a": {"$in": ["5", 5]}},
    {"a": {"$nin": ["5", 6]}}, {"a": {"$ne": "5"}}, {"none": {"$ne": 5}}, {"none": {"$nin": [5]}}, {"b": {"e": {"$ne": 1}}},
    {"s": {"$gt": "w", "$lt": "y"}}, {"b.c": "x"}, {"b": {"c": "x"}}, {"b": {"$eq": {"d": [1, 2], "c": "x"}}}, {"b.d": [1, 2]},
    {"b": {"$contains": {"d": [2]}}}, {"t": ["x", "y"]}, {"t[*]": "x"}, {"t[1]": "y"}, {"t[01]": "y"}, {"t[000]": "x"}, {"t": {"$contains": ["y", "x"]}}, {"t": {"$contains": []}},
    {"items[*].n": 1}, {"items[*].m": 2}, {"items[*].o[*]": 3}, {"items[*].o[0]": {"$gt": 2}}, {"items[1].m": {"$exists": True}},
    {"items": {"$contains": [{"m": 2}]}}, {"none": {"$exists": False}}, {"z": None}, {"z": {"$exists": True}}, {"z": {"$ne": 0}},
    {"dotted\\.name": 1}, {"\\$cash": 2}, {"big": 10**30}, {"big": {"$gt": 10**29}}, {"text": '"\\\n\u2028'}, {"true": True},
    {"$or": [{"a": 1}, {"b.c": "x"}]}, {"$and": [{"a": 5}, {"s": "x"}]}, {"$not": {"none": 1}}, {"$not": {"$not": {"a": 5}}},
    {"a": {"$not": {"$gt": 9}}}, {"none": {"$not": {"$exists": True}}}, {"$": {"$contains": {"a": 5}}}, {"$or": [{"none": 1}, {"a": 5}]},
    {"b.d[*]": {"$not": {"$in": [7]}}}, {"items[*]": {"n": 1}}, {"t": {"$contains": "x"}}, {"b.d": {"$contains": 2.0}}, {"s": {"$contains": "x"}},
]  # fmt: skip
FAILS: list[dict[str, Any]] = [
    {"a": "5"}, {"a": 6}, {"a": True}, {"a": None}, {"a": [5]}, {"a": {"$ne": 5}}, {"a": {"$gt": "4"}}, {"s": {"$gt": 0}}, {"a": {"$in": []}},
    {"a": {"$in": ["5"]}}, {"none": None}, {"none": 5}, {"none": {"$gt": 0}}, {"none": {"$lt": 0}}, {"b": {"$eq": {"c": "x"}}}, {"b": {}},
    {"b": {"$contains": {"d": [3]}}}, {"t": "x"}, {"t": ["y", "x"]}, {"t": ["x"]}, {"t[*]": "z"}, {"t[2]": "x"}, {"t[0]": "y"}, {"t.0": "x"},
    {"items[*].m": 3}, {"a[*]": 5}, {"a[0]": 5}, {"a.b": 5}, {"dotted.name": 1}, {"true": 1}, {"true": {"$gt": 0}}, {"z": False}, {"t": {"$gt": 0}},
    {"$or": [{"a": 1}, {"s": "y"}]}, {"$and": [{"a": 5}, {"s": "y"}]}, {"$not": {"a": 5}}, {"a": {"$exists": False}}, {"z": {"$exists": False}},
    {"a": {"$not": {"$gt": 4}}}, {"a": {"$not": {}}}, {"a": {"$gt": 4, "$lt": 5}}, {"A": 5}, {"items[*]": {"n": 2}}, {"s": {"$contains": "y"}},
    {"t": {"$contains": "z"}}, {"b.d": {"$contains": "2"}}, {"b": {"$contains": {"d": 2}}}, {"items": {"$contains": {"n": 1}}}, {"t": {"$contains": [["x"]]}},
]  # fmt: skip


@pytest.mark.core
async def test_what_fits_and_what_does_not(root: Caller) -> None:
    for filter in FITS:
        assert await root("matches", VALUE, filter) is True, filter
    for filter in FAILS:
        assert await root("matches", VALUE, filter) is False, filter
    # the opposite of each is the opposite, whatever is missing
    for filter in FITS:
        assert await root("matches", VALUE, {"$not": filter}) is False, filter
    for filter in FAILS:
        assert await root("matches", VALUE, {"$not": filter}) is True, filter


@pytest.mark.core
@pytest.mark.parametrize("order", [None, "newest"])
async def test_search_finds_what_fits_and_nothing_else(root: Caller, database: Database, order: str | None) -> None:
    await root("put", "in/whole", VALUE)
    # one that has grown: what fits is in operands
    await root("put", "in/grown", {"other": "x" * 5000})
    for name in VALUE:
        await root("merge", "in/grown", {name: VALUE[name]}, "merge")
    assert database.sql("select full_version < version from pgstate.entry where key = 'in/grown'") == [(True,)]
    for filter in FITS:
        found = await root.rows("search", "in/**", filter=filter, order=order)
        assert sorted(row["key"] for row in found) == ["in/grown", "in/whole"], filter
    for filter in FAILS:
        assert await root.rows("search", "in/**", filter=filter, order=order) == [], filter


@pytest.mark.core
async def test_values_that_are_no_objects(root: Caller) -> None:
    assert await root("matches", 5, {"$": 5})
    assert await root("matches", 5, {"$": {"$gte": -5, "$nin": [4]}})
    assert await root("matches", [1, {"a": 2}], {"$": [1, {"a": 2}]})
    assert await root("matches", "x", {"a": {"$exists": False}})
    assert await root("matches", NULL, {"$": None})
    assert not await root("matches", "5", {"$": 5})
    assert not await root("matches", [5], {"$": 5})
    assert not await root("matches", None, {})


@pytest.mark.core
async def test_what_is_no_filter_is_refused(root: Caller) -> None:
    said = await root.refuses(
        "PS007",
        *(
            f"matches('1', '{filter}')"
            for filter in (
                "[]", "1", "null", '{"a": {"$foo": 1}}', '{"$foo": 1}', '{"a": {"$gt": null}}', '{"a": {"$gt": [1]}}', '{"a": {"$in": 1}}',
                '{"a": {"$exists": 1}}', '{"$and": []}', '{"$or": {}}', '{"$not": []}', '{"$and": [1]}', '{"a..b": 1}', '{"": 1}', '{".": 1}',
                '{"a[": 1}', '{"a[-1]": 1}', '{"[0]": 1}', '{"a": {"$eq": 1, "b": 2}}', '{"a\\\\": 1}',
                '{"$not": ' * 20 + '{"a": 1}' + "}" * 20,
                '{"a": {"$not": ' * 1 + '{"$not": ' * 20 + '{"$gt": 1}' + "}" * 22,
                '{"' + "a." * 40 + 'b": 1}',
            )
        ),
        """matches('1', jsonb_build_object('a', repeat('x', 70000)))""",
    )  # fmt: skip
    assert any("$foo" in words for words in said)


@pytest.mark.core
async def test_a_filter_is_read_once_and_not_for_each_row(
    root: Caller, session: MakeAgent, login_name: Callable[[str], str]
) -> None:
    reader = login_name("reader")
    await root("create_reader", reader, "in/**")
    for n in range(3):
        await root("put", f"in/{n}", {"n": n})
        await root("put", f"out/{n}", {"n": n})
    query = """select key from pgstate.entries where pgstate.matches(value, '{"n": {"$gte": 1}}') order by key"""
    # whatever the session finds first by its names
    caller = await session(reader)
    await caller.execute("create function pg_temp.no(jsonb, jsonpath) returns boolean return false")
    await caller.execute("create operator pg_temp.@@ (function = pg_temp.no, leftarg = jsonb, rightarg = jsonpath)")
    await caller.execute("set search_path = pg_temp, pgstate, pg_catalog")
    for one, found in ((root, ["in/1", "in/2", "out/1", "out/2"]), (caller, ["in/1", "in/2"])):
        assert [row["key"] for row in await one.fetch(query)] == found
        plan = " ".join(row[0] for row in await one.fetch(f"explain {query}"))
        assert """'strict exists ($."n"?(@ >= 1))'::jsonpath""" in plan
        assert "matches" not in plan
