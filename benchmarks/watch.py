"""How soon a watch hears of a write, and what watching costs: `python -m benchmarks.watch`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg

import pgstate
from benchmarks._measure import median, percentile
from benchmarks._run import run
from benchmarks._server import Actor, Database, Server
from benchmarks._table import Line, Report
from benchmarks._watchers import FIRST, LAST, area
from pgstate import State

_WATCHERS = 100
_PROCESSES = 4
_RATE = 1000
_TICK = 0.005
_PAUSE = 0.012  # longer than the client and the server remember the write before
_SETTLED = 7.0  # a new watch reads often for up to 5 s
_COUNTED = 12.0  # an idle session's last transactions are counted up to 10 s later
_PATIENCE = 60.0
_TEXT = "x" * 160
_UPSERT_AND_NOTIFY = """
with written as (
  insert into raw (key, value, version, updated_at) values ($1, $2, 1, now())
      on conflict (key) do update set value = excluded.value, version = raw.version + 1, updated_at = now()
  returning key
)
select pg_notify('raw', key) from written
"""


async def measure(server: Server, quick: bool) -> Report:
    """Put to event when idle and under load, and the queries of idle watches."""
    report = Report("watch", "raw NOTIFY")
    async with server.database() as database:
        actor = await database.agent("agent", ["idle/**", "load/**"])
        await server.settle()
        await _idle_latency(report, database, actor, 150 if quick else 500)
        await _load(report, actor, 4.0 if quick else 10.0)
        await _idle_cost(report, server, database, actor, 5.0 if quick else 10.0)
    return report


async def _idle_latency(report: Report, database: Database, actor: Actor, times: int) -> None:
    """From before the put to the change in another client, taking turns with NOTIFY from connection to connection; and
    with a row that is written in the transaction of a NOTIFY, and read by who hears it."""
    clock = time.perf_counter
    ours: list[float] = []
    raw: list[float] = []
    by_hand: list[float] = []
    heard: asyncio.Queue[float] = asyncio.Queue()
    async with AsyncExitStack() as stack:
        writer = await stack.enter_async_context(pgstate.connect(actor.dsn, agent=actor.name))
        reader = await stack.enter_async_context(pgstate.connect(actor.dsn, agent=actor.name))
        notifier = await stack.enter_async_context(_connection(database.dsn))
        listener = await stack.enter_async_context(_connection(database.dsn))
        await listener.add_listener("raw", lambda *_: heard.put_nowait(clock()))
        await notifier.execute(
            "create table raw (key text primary key, value jsonb, version bigint, updated_at timestamptz)"
        )
        watch = await stack.enter_async_context(reader.watch("idle/*"))
        first = asyncio.ensure_future(anext(watch))
        while not first.done():
            await writer.put("idle/key", {"at": 0, "text": _TEXT})
            await asyncio.sleep(0.1)
        await asyncio.sleep(_SETTLED)
        version = await writer.put("idle/key", {"at": 0, "text": _TEXT})
        while (await anext(watch)).version < version:
            pass
        for number in range(times):
            await asyncio.sleep(_PAUSE)
            began = clock()
            await notifier.execute("select pg_notify('raw', $1)", str(number))
            raw.append(await heard.get() - began)

            await asyncio.sleep(_PAUSE)
            value = json.dumps({"at": number, "text": _TEXT})
            began = clock()
            await notifier.fetchval(_UPSERT_AND_NOTIFY, "idle/key", value)
            await heard.get()
            row = await listener.fetchrow("select * from raw where key = $1", "idle/key")
            by_hand.append(clock() - began)
            assert json.loads(row["value"])["at"] == number

            await asyncio.sleep(_PAUSE)
            event = asyncio.ensure_future(anext(watch))
            await asyncio.sleep(0)
            began = clock()
            await writer.put("idle/key", {"at": number, "text": _TEXT})
            change = await event
            ours.append(clock() - began)
            assert change.value["at"] == number, f"heard of {change.value['at']} for {number}"
    for name, part, wanted in (("median", 0.5, 5.0), ("99th percentile", 0.99, None)):
        mine, other = percentile(ours, part), percentile(raw, part)
        report.lines.append(
            Line(
                f"put to event, idle, {name} of {times}",
                _ms(mine),
                _ms(other),
                f"{mine / other:.2f}",
                "" if wanted is None else f"at most {wanted:g}",
                None if wanted is None else mine / other <= wanted,
            )
        )
    mine, other = median(ours), median(by_hand)
    report.lines.append(
        Line("    peer: a row upserted with NOTIFY, read when heard", _ms(mine), _ms(other), f"{mine / other:.2f}")
    )


async def _load(report: Report, actor: Actor, seconds: float) -> None:
    """Writes at a steady rate to the areas of watches in other processes, which tell how late each change came."""
    each = _WATCHERS // _PROCESSES
    async with AsyncExitStack() as stack:
        writer = await stack.enter_async_context(pgstate.connect(actor.dsn, agent=actor.name))
        processes = [
            await stack.enter_async_context(_watching(actor, number * each, each)) for number in range(_PROCESSES)
        ]
        await asyncio.gather(*(_line(process) for process in processes))
        began = time.monotonic()
        puts = await _write(writer, seconds)
        took = time.monotonic() - began
        for number in range(_WATCHERS):
            await writer.put(f"{area(number)}/last", {"at": LAST})
        late = [value for process in processes for value in json.loads(await _line(process))]
    report.lines += [
        Line(f"put to event, {len(puts) / took:,.0f} writes/s, median", _ms(median(late))),
        Line(
            f"put to event, {len(puts) / took:,.0f} writes/s, 99th percentile",
            _ms(percentile(late, 0.99)),
            wanted="under 100 ms",
            met=percentile(late, 0.99) < 0.1 and len(puts) / took > 0.95 * _RATE,
        ),
        Line("    put to answer meanwhile, median", _ms(median(puts))),
        Line("    put to answer meanwhile, 99th percentile", _ms(percentile(puts, 0.99))),
        Line(
            "    events lost or doubled",
            f"{abs(len(puts) - len(late)):,}",
            wanted="0",
            met=len(late) == len(puts),
        ),
    ]
    report.notes.append(
        f"Under load: {seconds:g} s of puts by one process to {_WATCHERS} subtrees in turns, each with one watch, "
        f"{each} in each of {_PROCESSES} processes."
    )


async def _write(state: State, seconds: float) -> list[float]:
    """Puts at a steady rate, whether or not those before were answered; returns how long each took."""
    clock = time.monotonic
    took: list[float] = []

    async def put(number: int) -> None:
        began = clock()
        await state.put(f"{area(number % _WATCHERS)}/key-{number % 1000}", {"at": began, "text": _TEXT})
        took.append(clock() - began)

    async with asyncio.TaskGroup() as tasks:
        began, number = clock(), 0
        while number < seconds * _RATE:
            due = int((clock() - began) * _RATE)
            for later in range(number, min(due, int(seconds * _RATE))):
                tasks.create_task(put(later))
            number = max(number, due)
            await asyncio.sleep(_TICK)
    return took


@asynccontextmanager
async def _watching(actor: Actor, first: int, count: int) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks._watchers", actor.dsn, actor.name or "", str(first), str(count)),
        stdout=PIPE,
        limit=1 << 24,
    )
    try:
        yield process
        await asyncio.wait_for(process.wait(), _PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _line(process: Process) -> str:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), _PATIENCE)
    if not line:
        raise RuntimeError("a watching process ended; what it said is above")
    return line.decode()


async def _idle_cost(report: Report, server: Server, database: Database, actor: Actor, seconds: float) -> None:
    """Transactions of the whole database while nothing happens but the watches of one process."""
    # asked over a connection to another database, so that asking does not count
    async with (
        pgstate.connect(actor.dsn, agent=actor.name) as state,
        _connection(server.dsn) as observer,
        asyncio.TaskGroup() as tasks,
    ):
        ready = [asyncio.Event() for _ in range(_WATCHERS)]
        following = [tasks.create_task(_follow(state, number, event)) for number, event in enumerate(ready)]
        for number, event in enumerate(ready):
            while not event.is_set():
                await state.put(f"{area(number)}/first", {"at": FIRST})
                await asyncio.sleep(0.02)
        await asyncio.sleep(_COUNTED)
        before, began = await _transactions(observer, database), time.monotonic()
        await asyncio.sleep(seconds)
        after, took = await _transactions(observer, database), time.monotonic() - began
        for task in following:
            task.cancel()
    rate = (after - before) / took
    report.lines.append(
        Line(f"{_WATCHERS} idle watches in one process", f"{rate:.1f} queries/s", "", "", "at most 2", rate <= 2)
    )
    report.notes.append(f"Queries of idle watches: transactions in pg_stat_database over {seconds:g} s.")


async def _follow(state: State, number: int, ready: asyncio.Event) -> None:
    async with state.watch(f"{area(number)}/**") as watch:
        async for _ in watch:
            ready.set()


async def _transactions(observer: asyncpg.Connection[Any], database: Database) -> int:
    name = urlsplit(database.dsn).path.strip("/")
    count: int = await observer.fetchval(
        "select xact_commit + xact_rollback from pg_stat_database where datname = $1", name
    )
    return count


@asynccontextmanager
async def _connection(dsn: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection: asyncpg.Connection[Any] = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"


if __name__ == "__main__":
    run([measure], __doc__)
