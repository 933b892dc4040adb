"""What policies say, where it is written: default reducer, time to live, size and schema, by every way of writing."""

from __future__ import annotations

import json
import random

import pytest

from conftest import Clock, Database
from sql._caller import Caller, MakeAgent, refused, seconds

BIG = random.Random(1).randbytes(1500).hex()
LIST = {"type": "array", "items": {"type": "integer"}, "maxItems": 40}


@pytest.mark.core
async def test_a_default_time_to_live(root: Caller) -> None:
    await root("put", "t/there", 1)
    await root("set_policy", "t/**", ttl=seconds(60))
    await root.rows("put_many", ["t/there", "t/new"], [1, 1])
    await root("merge", "t/merged", 1, "add")
    await root("put", "t/own", 1, ttl=seconds(600))
    await root("put", "t/there", 2)
    await root("put", "u", 1)
    ends = {
        r["key"]: r["expires_at"] and (r["expires_at"] - r["updated_at"]).total_seconds()
        for r in await root.rows("list")
    }
    assert ends == {"t/there": 60, "t/new": 60, "t/merged": 60, "t/own": 600, "u": None}
    # a merge into what is there leaves its end
    end = (await root("get", "t/own"))["expires_at"]
    await root("merge", "t/own", 1, "add")
    assert (await root("get", "t/own"))["expires_at"] == end
    await root("set_policy", "t/own", ttl=seconds(0))
    await root("put", "t/own", 1)
    assert (await root("get", "t/own"))["expires_at"] is None


@pytest.mark.core
async def test_a_smaller_limit(root: Caller) -> None:
    await root("put", "s/a", "x")
    await root("set_policy", "s/**", value_limit=4000)
    await root("put", "s/a", "y")
    large = json.dumps("x" * 5000)
    await root.refuses(
        "PS004", f"put('s/a', '{large}')", f"put('s/b', '{large}')", f"merge('s/c', '{large}', 'replace')"
    )
    rows = await root.rows("put_many", ["s/a", "s/b", "t"], ["z", "x" * 5000, "x" * 5000])
    assert [(r["status"], r["code"]) for r in rows] == [("ok", None), ("invalid", "PS004"), ("ok", None)]
    # what grows is held to it too
    assert (await root("put", "s/list", [BIG]))[0] == "ok"
    assert (await root("merge", "s/list", "x" * 500, "append"))[0] == "ok"
    await root.refuses("PS004", f"merge('s/list', '{json.dumps(BIG)}', 'append')")


@pytest.mark.core
async def test_a_default_reducer(root: Caller, database: Database) -> None:
    await root("set_policy", "r/**", reducer="append")
    await root("set_policy", "r/sum", reducer="add")
    assert await root("merge", "r/list", 1) == ("ok", 1, None)
    rows = await root.rows("merge_many", ["r/list", "r/sum", "r/sum"], [2, 3, 4])
    assert [(r["status"], r["version"]) for r in rows] == [("ok", 2), ("ok", 1), ("ok", 2)]
    # one that is named is what it says
    await root("merge", "r/list", [2, 9], "union")
    assert [(r["key"], r["value"]) for r in await root.rows("list", "r/*")] == [("r/list", [1, 2, 9]), ("r/sum", 7)]
    await root.refuses("PS005", "merge('elsewhere', '1')", "merge('r/list', '1', 'nonsense')")
    await root.refuses("PS006", "merge('r/sum', '\"x\"')")
    applied = await root.rows("apply", [], [{"op": "merge", "key": "r/sum", "operand": 1}])
    assert [(r["status"], r["version"]) for r in applied] == [("ok", 3)]


@pytest.mark.core
async def test_a_registered_reducer(root: Caller, database: Database) -> None:
    database.sql(
        "create function public.longest(jsonb, jsonb) returns jsonb language sql immutable as"
        " $$ select case when length($1 #>> '{}') >= length($2 #>> '{}') then $1 else $2 end $$;"
        " grant execute on function public.longest(jsonb, jsonb) to pgstate_api"
    )
    await root.fetchval("select pgstate.register_reducer('longest', 'public.longest(jsonb, jsonb)'::regprocedure)")
    await root("set_policy", "r/**", reducer="longest")
    for word in ("owl", "eagle", "bat"):
        assert (await root("merge", "r/word", word))[0] == "ok"
    assert (await root("get", "r/word"))["value"] == "eagle"
    # callers choose no code
    await root.refuses("PS005", "merge('r/word', '\"x\"', 'longest')")
    # own reducers store whole values: a changed function must not rewrite history
    await root("put", "r/long", BIG)
    await root("merge", "r/long", BIG + BIG)
    assert database.sql("select count(*) from pgstate.version where reducer is not null") == [(0,)]


@pytest.mark.core
async def test_a_schema_for_every_way_of_writing(root: Caller, database: Database) -> None:
    await root("put", "j/there", [1])
    await root("set_policy", "j/**", schema=LIST)
    with refused("PS008") as caught:
        await root("put", "j/there", ["no"])
    assert (
        "explain_policy" in str(caught.value)
        and "0" in str(caught.value)
        and "no" not in str(caught.value).split(":")[-1]
    )
    await root.refuses(
        "PS008", "put('j/new', '{}')", "merge('j/there', '\"x\"', 'append')", "merge('j/new', '\"x\"', 'append')",
        "merge('j/there', '1', 'replace')", "put('j/there', '{}', 1)",
    )  # fmt: skip
    rows = await root.rows("put_many", ["j/other", "k"], [{"no": 1}, {"yes": 1}])
    assert [(r["status"], r["code"]) for r in rows] == [("invalid", "PS008"), ("ok", None)]
    with refused("PS008"):
        await root.rows(
            "apply", [], [{"op": "put", "key": "k", "value": 1}, {"op": "put", "key": "j/there", "value": 1}]
        )
    assert (await root("get", "k"))["value"] == {"yes": 1}
    assert (await root("delete", "j/there"))[0] == "ok"
    # no version was made by what was refused
    assert [v["version"] for v in await root.rows("history", "j/there")] == [2, 1]
    # a value that grows is looked at as a whole
    numbers = list(range(10**9, 10**9 + 39))
    await root("set_policy", "g", schema={"type": "array", "items": {"type": ["integer", "string"]}, "maxItems": 40})
    await root("put", "g", [BIG, *numbers[:20]])
    for number in numbers[20:]:
        assert (await root("merge", "g", number, "append"))[0] == "ok"
    assert database.sql("select count(*) > 10 from pgstate.version where reducer is not null") == [(True,)]
    await root.refuses("PS008", "merge('g', '1', 'append')", "merge('g', '{}', 'append')")
    assert (await root("get", "g"))["value"] == [BIG, *numbers]
    await root("drop_policy", "j/**")
    assert (await root("put", "j/there", "anything"))[0] == "ok"


async def test_a_blind_writer_learns_nothing_of_what_does_not_fit(root: Caller, agent: MakeAgent) -> None:
    await root("put", "b/1", {"secret": 1})
    await root(
        "set_policy",
        "b/**",
        schema={"type": "object", "properties": {"secret": {"type": "integer"}}, "maxProperties": 2},
    )
    blind = await agent("blind", "write b/**")
    for call in ("merge('b/1', '{\"a\": 1, \"b\": 2}', 'merge')", "put('b/1', '{\"secret\": \"x\"}')"):
        (said,) = await blind.refuses("PS008", call)
        assert "secret" not in said and "maxProperties" not in said and "properties" not in said


@pytest.mark.core
async def test_history_that_is_cut_keeps_what_operands_stand_on(root: Caller, database: Database, clock: Clock) -> None:
    await root("set_policy", "k", keep="5 versions")
    await root("put", "k", [BIG])
    for number in range(40):
        await root("merge", "k", f"{number} {BIG[:400]}", "append")
    current = [BIG, *(f"{number} {BIG[:400]}" for number in range(40))]
    before = await root.rows("history", "k")
    early = await root.fetchval("select pgstate._now()")
    for _ in range(3):
        await root("expire")
        await root("maintain")
        await clock.advance(4000)
        await root("put", "other", 1)
    while (await root("maintain"))["more"]:
        pass
    left = await root.rows("history", "k")
    assert 5 <= len(left) < 41
    assert [(v["version"], v["value"]) for v in left] == [(v["version"], v["value"]) for v in before][: len(left)]
    assert (await root("get", "k"))["value"] == current
    oldest = database.sql("select reducer from pgstate.version where key = 'k' order by version limit 1")
    assert oldest == [(None,)]
    # a time whose history went is refused, not answered with what is left
    with refused("PS021"):
        await root("get_as_of", "k", at=early)
