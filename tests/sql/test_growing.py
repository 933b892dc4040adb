"""Values that grow by merges: operands in history in place of values, and everybody reads the value all the same."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from _cases import first_of
from _server import SUPERUSER
from conftest import Clock, Database
from sql._caller import Caller, MakeAgent, seconds

# what does not compress, so that it is as large in the table as it looks
BIG = random.Random(1).randbytes(1500).hex()
GROWING = ("append", "union", "merge", "deep_merge", "messages")


_LEAF = st.one_of(st.integers(0, 3), st.sampled_from(["a", "b", None, True]))


def _operands(reducer: str) -> st.SearchStrategy[Any]:
    leaf = _LEAF
    if reducer in ("append", "union"):
        return st.one_of(st.lists(leaf, max_size=3), st.dictionaries(st.sampled_from("ab"), leaf, max_size=1))
    if reducer == "messages":
        message = st.fixed_dictionaries({"text": leaf}, optional={"id": st.sampled_from(["1", "2", "3", None])})
        return st.one_of(message, st.lists(message, max_size=3))
    inner = st.recursive(
        leaf, lambda nested: st.dictionaries(st.sampled_from("abcd"), nested, max_size=3), max_leaves=6
    )
    return st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)


_BOTH_WAYS = """
with recursive step as (
  select * from unnest(%(reducers)s::text[], %(operands)s::text[]::jsonb[]) with ordinality as s (reducer, operand, n)
), each (n, value) as (
  select 0::bigint, %(start)s::text::jsonb
  union all
  select s.n, pgstate._reduce(s.reducer, e.value, s.operand) from each e join step s on s.n = e.n + 1
)
select pgstate._fold(%(start)s::text::jsonb, %(reducers)s, %(operands)s::text[]::jsonb[])::text,
       (select value::text from each order by n desc limit 1)
"""


@pytest.mark.parametrize(
    ("start", "reducers"),
    [
        (st.lists(_LEAF, max_size=4), ("append", "union")),
        (_operands("messages").filter(lambda drawn: isinstance(drawn, list)), ("messages",)),
        (_operands("deep_merge"), ("merge", "deep_merge")),
    ],
    ids=["lists", "messages", "objects"],
)
@pytest.mark.parametrize("examples", first_of([20, 60]))
def test_folding_is_reducing_one_by_one(
    database: Database, start: st.SearchStrategy[Any], reducers: tuple[str, ...], at_length: bool, examples: int
) -> None:
    examples = 200 if at_length else examples
    step = st.sampled_from(reducers).flatmap(lambda reducer: st.tuples(st.just(reducer), _operands(reducer)))

    with psycopg.connect(database.dsn(SUPERUSER), autocommit=True) as connection:

        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(first=start, steps=st.lists(step, min_size=1, max_size=8))
        def same(first: Any, steps: list[tuple[str, Any]]) -> None:
            row = connection.execute(
                _BOTH_WAYS,
                {
                    "start": json.dumps(first),
                    "reducers": [reducer for reducer, _ in steps],
                    "operands": [json.dumps(operand) for _, operand in steps],
                },
            ).fetchone()
            assert row is not None
            assert json.loads(row[0]) == json.loads(row[1])

        same()


def _start(reducer: str) -> Any:
    return {"start": BIG} if reducer in ("merge", "deep_merge") else [{"id": "start", "text": BIG}]


def _step(reducer: str, number: int) -> Any:
    if reducer in ("merge", "deep_merge"):
        return {f"k{number}": {"n": number}}
    return {"id": f"m{number}", "text": number}


def _after(reducer: str, number: int) -> Any:
    if reducer in ("merge", "deep_merge"):
        return {**_start(reducer), **{f"k{n}": {"n": n} for n in range(number)}}
    return [*_start(reducer), *({"id": f"m{n}", "text": n} for n in range(number))]


@pytest.mark.core("every case")
@pytest.mark.parametrize("reducer", GROWING)
async def test_every_reader_sees_the_value(
    root: Caller, session: MakeAgent, database: Database, login_name: Any, reducer: str
) -> None:
    start = await root("cursor")
    assert await root("put", "k/big", _start(reducer)) == ("ok", 1, None)
    for number in range(40):
        assert await root("merge", "k/big", _step(reducer, number), reducer) == ("ok", number + 2, None)
    stored = database.sql("select count(*) from pgstate.version where reducer is not null")
    assert stored[0][0] > 30
    want = _after(reducer, 40)
    assert (await root("get", "k/big"))["value"] == want
    assert (await root.rows("get_many", ["k/big"]))[0]["value"] == want
    assert (await root.rows("list", "k/*"))[0]["value"] == want
    history = await root.rows("history", "k/big")
    assert [(v["version"], v["value"]) for v in history] == [(n + 1, _after(reducer, n)) for n in range(40, -1, -1)]
    *changes, _ = await root.rows("changes", start)
    assert [c["value"] for c in changes] == [_after(reducer, n) for n in range(41)]
    assert [c["previous"] for c in changes] == [None, *(_after(reducer, n) for n in range(40))]
    *last, _ = await root.rows("changes", changes[-2]["cursor"])
    assert [(c["value"], c["previous"]) for c in last] == [(want, _after(reducer, 39))]
    claimed = await root("claim_next", "k/*", seconds(60))
    assert claimed["value"] == want
    # plain SQL of somebody who may only read
    login = login_name("ana")
    await root("create_reader", login, "k/**")
    reader = await session(login)
    assert json.loads(await reader.fetchval("select value::text from pgstate.entries")) == want
    values = [
        json.loads(r["value"]) for r in await reader.fetch("select value::text from pgstate.versions order by version")
    ]
    assert values == [_after(reducer, n) for n in range(41)]
    assert await reader.fetchval("select pgstate._grown('hidden', '1', 0, 5)::text") == "1"


@pytest.mark.core
async def test_a_new_full_value_when_the_operands_outweigh_it(root: Caller, database: Database) -> None:
    await root("put", "k", [BIG])
    for number in range(200):
        await root("merge", "k", [f"{number}-{BIG[:100]}"], "append")
    full = [v for (v,) in database.sql("select version from pgstate.version where reducer is null order by version")]
    # at first 3 kB, then 6, 12: each after as much as it was
    assert full[0] == 1
    assert 3 <= len(full) <= 6
    gaps = [b - a for a, b in itertools.pairwise(full)]
    assert all(later > 1.5 * gap for gap, later in itertools.pairwise(gaps))
    assert min(gaps) > 16
    entry = database.sql("select full_version, tail_count, version from pgstate.entry where key = 'k'")
    assert entry == [(full[-1], 201 - full[-1], 201)]


async def test_small_values_and_other_reducers_are_stored_whole(root: Caller, database: Database) -> None:
    for number in range(30):
        await root("merge", "small", [number], "append")
        await root("merge", "sum", number, "add")
        await root("merge", "same", {"a": 1}, "merge")
    assert database.sql("select count(*) from pgstate.version where reducer is not null") == [(0,)]
    assert (await root("get", "same"))["version"] == 1


async def test_operands_that_change_nothing_or_do_not_fit(root: Caller) -> None:
    await root("put", "list", [BIG])
    await root("put", "object", {"big": BIG})
    assert await root("merge", "list", [], "append") == ("ok", 1, None)
    assert await root("merge", "object", {}, "merge") == ("ok", 1, None)
    assert await root("merge", "list", [1], "append") == ("ok", 2, None)
    await root.refuses(
        "PS006",
        "merge('list', '{}', 'merge')",
        "merge('object', '1', 'append')",
        "merge('list', '1', 'add')",
        "merge('list', '1', 'messages')",
    )
    assert (await root("get", "list"))["value"] == [BIG, 1]
    # what has become large records what it is given, without looking whether it is there
    assert await root("merge", "object", {"a": 1}, "merge") == ("ok", 2, None)
    assert await root("merge", "object", {"a": 1}, "merge") == ("ok", 3, None)
    assert (await root("get", "object"))["value"] == {"big": BIG, "a": 1}


async def test_deep_operands_beyond_what_can_be_merged(root: Caller) -> None:
    deep: Any = 1
    for _ in range(250):
        deep = {"d": deep}
    await root("put", "k", {"big": BIG})
    assert await root("merge", "k", {"a": 1}, "deep_merge") == ("ok", 2, None)
    assert await root("merge", "k", deep, "deep_merge") == ("ok", 3, None)
    assert (await root("get", "k"))["value"] == {"big": BIG, "a": 1, **deep}
    await root.refuses("PS006", f"merge('k', '{json.dumps(deep)}', 'deep_merge')")


async def test_what_else_happens_to_a_growing_key(root: Caller, clock: Clock) -> None:
    await root("put", "k", [BIG])
    await root("merge", "k", [1], "append")
    current = [BIG, 1]
    # conflicts and comparisons tell and take the assembled value
    assert await root("put", "k", 0, 1) == ("conflict", 2, current)
    assert (await root("put", "k", [*current, 2], expect_value=current))[:2] == ("ok", 3)
    await root("merge", "k", [3], "append")
    # in one statement: grown and asked for; written anew, grown, deleted, written again and grown
    await root("put", "o", {"big": BIG})
    rows = await root.rows(
        "write_many", ["merge"] * 3, ["o"] * 3, [{"a": 1}, {"b": 2}, {"c": 3}], reducers=["merge"] * 3,
        return_values=[None, True, None],
    )  # fmt: skip
    assert [(r["version"], r["value"]) for r in rows] == [(2, None), (3, {"big": BIG, "a": 1, "b": 2}), (4, None)]
    assert (await root("get", "o"))["value"] == {"big": BIG, "a": 1, "b": 2, "c": 3}
    rows = await root.rows(
        "write_many", ["put", "merge", "merge", "delete", "put", "merge"], ["o"] * 6,
        [{"new": BIG}, {"a": 1}, {"b": 2}, None, {"big": BIG}, {"z": 1}], reducers=[None, "merge", "merge", None, None, "merge"],
    )  # fmt: skip
    assert [r["version"] for r in rows] == [5, 6, 7, 8, 9, 10]
    assert (await root("get", "o"))["value"] == {"big": BIG, "z": 1}
    values = [v["value"] for v in await root.rows("history", "o", 6)]
    assert values == [
        {"big": BIG, "z": 1}, {"big": BIG}, None, {"new": BIG, "a": 1, "b": 2}, {"new": BIG, "a": 1}, {"new": BIG},
    ]  # fmt: skip
    # an expiry ends it
    await root("put", "k", [BIG], ttl=seconds(10))
    await root("merge", "k", [1], "append")
    assert (await root("get", "k"))["expires_at"] is not None
    await clock.advance(11)
    assert (await root("get", "k"))["status"] == "missing"
    assert await root("merge", "k", [2], "append") == ("ok", 8, None)
    assert (await root("get", "k"))["value"] == [2]


async def test_the_limit_holds_for_what_grows(root: Caller, database: Database) -> None:
    database.sql("update pgstate.install set value_limit = 10000")
    await root("put", "k", ["x" * 5000])
    await root("merge", "k", ["x" * 4000], "append")
    await root.refuses("PS004", f"merge('k', '[\"{'x' * 2000}\"]', 'append')")
    # what the table compresses counts as large as it is
    await root("put", "c", [BIG * 3])
    assert database.sql("select pg_column_size(value) from pgstate.entry where key = 'c'")[0][0] in range(2001, 6000)
    await root.refuses("PS004", f"merge('c', '[\"{'x' * 2000}\"]', 'append')")
    assert (await root("merge", "c", ["x"], "append"))[0] == "ok"
    # also when it was merged whole, and stayed as it was
    await root("put", "d", [BIG * 3])
    await root("merge", "d", 1, "first", ttl=seconds(60))
    await root.refuses("PS004", f"merge('d', '[\"{'x' * 2000}\"]', 'append')")
    # operands may count more than what they come to
    await root("put", "o", {"big": "x" * 5000})
    for number in range(10):
        assert (await root("merge", "o", {"a": "y" * 3000, "n": number}, "merge"))[0] == "ok"
    assert (await root("get", "o"))["value"] == {"big": "x" * 5000, "a": "y" * 3000, "n": 9}


async def test_a_merge_by_operand_takes_priority_and_not_before_along(root: Caller) -> None:
    await root("put", "k", [BIG])
    for priority in (3, 7):
        (row,) = await root.rows("write_many", ["merge"], ["k"], [priority], reducers=["append"], priorities=[priority])
        assert row["status"] == "ok"
        entry = await root("get", "k")
        assert (entry["priority"], entry["value"][-1]) == (priority, priority)
    await root("merge", "k", 1, "append")
    assert (await root("get", "k"))["priority"] == 7
