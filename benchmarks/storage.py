"""What a value that grows costs to store and to read: `python -m benchmarks.storage`."""

from __future__ import annotations

import random
import time
from contextlib import AsyncExitStack
from typing import Any

import asyncpg

import pgstate
from benchmarks._measure import median
from benchmarks._run import run
from benchmarks._server import Server
from benchmarks._table import Line, Report
from pgstate import State

_TIMES = 1000
_ENDS = 50
_TABLES_MB = 10.0
_WAL_MB = 20.0
_LIST = 10_000
_SIZE = "select sum(pg_total_relation_size(c)) from unnest(array['pgstate.entry', 'pgstate.version']::regclass[]) c"


async def measure(server: Server, quick: bool) -> Report:
    """1,000 appends of 1 KiB to one key, and the same for a dict that grows; then reading a list of 10,000 items."""
    report = Report("storage: one value that grows", "")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(server.database())
        actor = await database.agent("agent", ["grow/**"])
        state = await stack.enter_async_context(pgstate.connect(actor.dsn, agent=actor.name))
        owner = await asyncpg.connect(database.dsn)
        stack.push_async_callback(owner.close)
        await owner.execute("update pgstate.install set value_limit = 16777216")
        for reducer in ("append", "merge", "deep_merge", "union", "messages"):
            report.lines += await _grow(owner, state, reducer)
        report.lines.append(await _read(owner, state, 1000 if quick else _LIST))
    report.notes.append(
        f"{_TIMES:,} merges of 1 KiB that does not compress, one after the other. Tables with indexes, right after, "
        f"default settings, no VACUUM; first and last: medians of {_ENDS}."
    )
    return report


async def _grow(owner: asyncpg.Connection[Any], state: State, reducer: str) -> list[Line]:
    chance = random.Random(reducer)
    key, took = f"grow/{reducer}", []
    size, wal = await owner.fetchval(_SIZE), await owner.fetchval("select pg_current_wal_lsn()::text")
    for number in range(_TIMES):
        text = chance.randbytes(512).hex()
        operand: Any = text
        if reducer in ("merge", "deep_merge"):
            operand = {f"key-{number}": text}
        elif reducer == "messages":
            operand = {"id": str(number), "text": text}
        began = time.perf_counter()
        await state.merge(key, operand, reducer)
        took.append(time.perf_counter() - began)
    tables = float(await owner.fetchval(_SIZE) - size) / 1e6
    written = float(await owner.fetchval("select pg_current_wal_lsn() - $1::text::pg_lsn", wal)) / 1e6
    found = await state.get(key)
    assert found is not None and len(found.value) == _TIMES
    first, last = median(took[10 : 10 + _ENDS]), median(took[-_ENDS:])
    return [
        Line(f"{reducer}: tables", f"{tables:.1f} MB", "", "", f"at most {_TABLES_MB:g} MB", tables <= _TABLES_MB),
        Line(f"{reducer}: WAL", f"{written:.1f} MB", "", "", f"at most {_WAL_MB:g} MB", written <= _WAL_MB),
        Line(
            f"{reducer}: last beside first",
            f"{last * 1e3:.2f} ms",
            f"{first * 1e3:.2f} ms",
            f"{last / first:.2f}",
            "at most 2",
            last <= 2 * first,
        ),
    ]


async def _read(owner: asyncpg.Connection[Any], state: State, items: int) -> Line:
    """A list that was appended to item by item, beside the same list written whole."""
    values = [f"item {number} " + "x" * 80 for number in range(items)]
    for start in range(0, items, 100):
        await state.merge_many([("grow/list", value, "append") for value in values[start : start + 100]])
    await state.put("grow/whole", values)
    grown: list[float] = []
    whole: list[float] = []
    for _ in range(20):
        for key, times in (("grow/list", grown), ("grow/whole", whole)):
            began = time.perf_counter()
            found = await state.get(key)
            times.append(time.perf_counter() - began)
            assert found is not None and found.value == values
    mine, other = median(grown), median(whole)
    return Line(
        f"get of a list of {items:,} items, grown beside written whole",
        f"{mine * 1e3:.1f} ms",
        f"{other * 1e3:.1f} ms",
        f"{mine / other:.2f}",
    )


if __name__ == "__main__":
    run([measure], __doc__)
