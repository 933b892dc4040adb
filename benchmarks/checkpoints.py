"""What threads cost: `python -m benchmarks.checkpoints`."""

from __future__ import annotations

import itertools
import random
import time
from contextlib import AsyncExitStack
from typing import Any

import asyncpg

import pgstate
from benchmarks._measure import Comparison, Effort, compare, median
from benchmarks._run import run
from benchmarks._server import Server
from benchmarks._table import Line, Report
from pgstate import State
from pgstate._codec import encode

_STEPS = 1000
_ENDS = 50
_MB = 12.0
_SAVE_MS = 5.0
_SMALL = {"step": 1, "plan": "look it up", "done": False}
_TASKS = 64


async def measure(server: Server, quick: bool) -> Report:
    """A thread that grows by a message of 1 KiB each step; small saves beside plain puts; reading it back."""
    report = Report("checkpoints: threads", "put")
    effort = Effort(3, 0.3) if quick else Effort(7, 0.5)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(server.database())
        actor = await database.agent("agent", ["grow/**", "small/**"])
        state = await stack.enter_async_context(pgstate.connect(actor.dsn, agent=actor.name))
        owner = await asyncpg.connect(database.dsn)
        stack.push_async_callback(owner.close)
        report.lines += await _grow(owner, state)
        comparisons = _small(state)
        await compare(comparisons, effort)
    for comparison in comparisons:
        report.add(comparison)
    report.notes.append(
        f"{effort}. {_STEPS:,} saves of a list that grows by a message of 1 KiB that does not compress, one after the "
        f"other. Bytes of the whole database with indexes, right after, default settings, no VACUUM; first and last: "
        f"medians of {_ENDS}. Small saves are of {_TASKS} threads, each its own, and puts of as many keys."
    )
    return report


async def _grow(owner: asyncpg.Connection[Any], state: State) -> list[Line]:
    chance = random.Random("grow")
    thread, messages, took = state.thread("grow/t"), [], []
    await thread.save({"messages": messages, "step": 0})
    size = await owner.fetchval("select pg_database_size(current_database())")
    wal = await owner.fetchval("select pg_current_wal_lsn()::text")
    for number in range(_STEPS):
        messages.append({"id": str(number), "role": "user", "content": chance.randbytes(480).hex()})
        began = time.perf_counter()
        await thread.save({"messages": messages, "step": number}, metadata={"step": number, "source": "loop"})
        took.append(time.perf_counter() - began)
    grown = float(await owner.fetchval("select pg_database_size(current_database())") - size) / 1e6
    written = float(await owner.fetchval("select pg_current_wal_lsn() - $1::text::pg_lsn", wal)) / 1e6
    first, last = median(took[:_ENDS]), median(took[-_ENDS:])
    encoding = median([_timed(lambda: encode({"messages": messages})) for _ in range(20)])
    reading, listing = [], []
    for _ in range(20):
        began = time.perf_counter()
        found = await thread.latest()
        reading.append(time.perf_counter() - began)
        assert found is not None and found.state["messages"] == messages
        began = time.perf_counter()
        assert len([point async for point in thread.history(_STEPS)]) == _STEPS
        listing.append(time.perf_counter() - began)
    return [
        Line("grows: database", f"{grown:.1f} MB", "", "", f"at most {_MB:g} MB", grown <= _MB),
        Line("grows: WAL", f"{written:.1f} MB", "", "", f"at most {_MB:g} MB", written <= _MB),
        Line("grows: the first saves", f"{first * 1e3:.2f} ms"),
        Line(
            "grows: the last saves", f"{last * 1e3:.2f} ms", "", "", f"at most {_SAVE_MS:g} ms", last * 1e3 <= _SAVE_MS
        ),
        Line("grows: encoding in them", f"{encoding * 1e3:.2f} ms"),
        Line(f"latest, {_STEPS:,} messages", f"{median(reading) * 1e3:.2f} ms"),
        Line(f"history of {_STEPS:,}", f"{median(listing) * 1e3:.2f} ms"),
    ]


def _timed(call: Any) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _small(state: State) -> list[Comparison]:
    threads = [state.thread(f"small/t-{number}") for number in range(_TASKS)]
    place = itertools.count()

    async def save(number: int) -> None:
        await threads[next(place) % _TASKS].save({**_SMALL, "step": number})

    async def put(number: int) -> None:
        await state.put(f"small/k-{number % _TASKS}", {**_SMALL, "step": number})

    return [
        Comparison("small save, 1 task", save, put),
        Comparison(f"small save, {_TASKS} tasks", save, put, _TASKS),
    ]


if __name__ == "__main__":
    run([measure], __doc__)
