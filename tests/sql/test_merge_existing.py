"""Merges on small entries that exist go a short way: with the results of the long one, which an array of expects takes."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from _cases import first_of
from sql._caller import NULL, Caller, MakeAgent, seconds

NAMES = ["number", "text", "list", "large", "object", "brief", "held", "grown", "gone", "never"]
OPERANDS: dict[str, list[Any]] = {
    "replace": [1, "x", None, NULL, {"a": 1}, "y" * 3000],
    "append": [1, ["a", "b"], {"role": "user"}, ["z" * 1500]],
    "add": [0, 1, -2.5, "x"],
    "max": [0, 10**9, "zz", [1]],
    "min": [-1, 10**9, "a", "zz"],
    "union": [["a", "b"], "a", [3]],
    "merge": [{"a": 1}, {"b": {"c": 1}}, 1],
    "deep_merge": [{"b": {"d": 2}}, {"a": 1}, "x"],
    "messages": [[{"id": "1", "text": "a"}], {"id": "2"}, 3],
    "first": [1, {"a": 2}],
    "none such": [1],
}
MERGE = """
select * from pgstate.write_many($1, $2, $3::text[]::jsonb[], reducers => $4, expects => $5::bigint[], "atomic" => $6)
"""


def _rows(draw: random.Random, count: int) -> list[tuple[str, str, Any]]:
    rows = []
    for name in draw.choices(NAMES, k=count):
        reducer = draw.choice(list(OPERANDS))
        if draw.random() < 0.3:
            # as typed states begin a field
            rows.append((name, "first", draw.choice([0, [], {}])))
        rows.append((name, reducer, draw.choice(OPERANDS[reducer])))
    return rows


@pytest.mark.parametrize("seed", first_of(range(4)))
async def test_short_and_long_way_agree(root: Caller, agent: MakeAgent, clock: Any, seed: int) -> None:
    draw = random.Random(seed)
    writer = await agent("writer", "read s/seen/**", "read l/seen/**", "write s/**", "write l/**")
    start: dict[str, Any] = {"number": 5, "text": "m", "list": ["a"], "large": ["q" * 2500], "object": {"a": 1}}
    for root_key in ("s", "l"):
        for part in ("seen", "blind"):
            base = f"{root_key}/{part}"
            for name, value in {**start, "brief": 1, "held": 1, "grown": ["g" * 900], "gone": 1}.items():
                await root("put", f"{base}/{name}", value)
            for _ in range(3):
                await root("merge", f"{base}/grown", "h" * 900, reducer="append")
            await root("put", f"{base}/brief", 1, ttl=seconds(1000))
            await root("delete", f"{base}/gone")
            await root("claim", f"{base}/held", seconds(3600))
    for step in range(60):
        if step == 40:
            await clock.advance(1001)
        part = draw.choice(["seen", "seen", "blind"])
        rows = _rows(draw, draw.choice([1, 1, 2, 5]))
        atomic = draw.random() < 0.3
        said = []
        for root_key in ("s", "l"):
            outcomes = await writer.fetch(
                MERGE,
                ["merge"] * len(rows),
                [f"{root_key}/{part}/{name}" for name, _, _ in rows],
                # as text: asyncpg takes a list among them for a dimension
                [
                    None if operand is None else "null" if operand is NULL else json.dumps(operand)
                    for *_, operand in rows
                ],
                [reducer for _, reducer, _ in rows],
                None if root_key == "s" else [None] * len(rows),
                atomic,
            )
            said.append([(o["ord"], o["status"], o["version"], o["value"], o["code"]) for o in outcomes])
        assert said[0] == said[1], (step, rows)
    columns = "version, op, value, reducer, writer, created, expires_at is null"
    history = f"select substr(key, 2), {columns} from pgstate.version where key like $1 order by key, version"
    entries = (
        "select substr(key, 2), version, live, value, writer, priority, full_version, tail_count, expires_at is null "
        "from pgstate.entry where key like $1 order by key"
    )
    for query in (history, entries):
        short, long = [await root.fetch(query, pattern) for pattern in ("s/%", "l/%")]
        assert [tuple(row) for row in short] == [tuple(row) for row in long]
        assert len(short) > 15


@pytest.mark.parametrize(
    ("operands", "versions"), [((9, 3), (2, 2)), ((3, 9), (1, 2)), ((3, 4), (1, 1)), ((8, 9), (2, 3))]
)
async def test_a_key_may_occur_twice_and_change_once(
    root: Caller, operands: tuple[int, int], versions: tuple[int, int]
) -> None:
    await root("put", "s/most", 5)
    await root("put", "s/other", 1)
    rows = await root.fetch(
        "select * from pgstate.write_many(array_fill('merge'::text, array[3]), $1, $2::text[]::jsonb[], reducers => array['max', 'add', 'max'])",
        ["s/most", "s/other", "s/most"],
        [str(operands[0]), "1", str(operands[1])],
    )
    assert [row["version"] for row in rows] == [versions[0], 2, versions[1]]
    assert (await root("get", "s/most"))["value"] == max(5, *operands)
