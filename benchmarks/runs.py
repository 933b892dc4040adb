"""Durable runs beside DBOS Transact: `python -m benchmarks.runs`."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pgstate
from benchmarks._measure import median
from benchmarks._run import run
from benchmarks._server import Database, Server
from benchmarks._table import Line, Report
from pgstate import State

Rate = Callable[[int, int], Awaitable[float]]
_numbers = itertools.count()


async def _empty() -> None:
    return None


def _ours(state: State) -> Rate:
    async def one(steps: int) -> None:
        async with state.run(f"bench/run-{next(_numbers)}") as run:
            for _ in range(steps):
                await run.step("empty", _empty)

    async def rate(workers: int, steps: int) -> float:
        began = time.perf_counter()
        await asyncio.gather(*(one(steps) for _ in range(workers)))
        return workers * steps / (time.perf_counter() - began)

    return rate


async def _dbos(stack: AsyncExitStack, dsn: str) -> Rate:
    from dbos import DBOS

    parts = urlsplit(dsn)
    # a socket's folder as SQLAlchemy takes it
    url = urlunsplit(parts._replace(scheme="postgresql"))
    logging.getLogger("dbos").setLevel(logging.ERROR)
    DBOS(config={"name": "bench", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"})

    @DBOS.step()
    async def empty() -> None:
        return None

    @DBOS.workflow()
    async def workflow(steps: int) -> None:
        for _ in range(steps):
            await empty()

    DBOS.launch()
    stack.callback(DBOS.destroy)

    async def rate(workers: int, steps: int) -> float:
        began = time.perf_counter()
        await asyncio.gather(*(workflow(steps) for _ in range(workers)))
        return workers * steps / (time.perf_counter() - began)

    return rate


async def _resume(state: State, steps: int) -> int:
    """Round trips from entering a run that died after so many steps until its next one is done; that one is the
    last."""
    key = f"bench/resumed-{steps}"
    with _dies():
        async with state.run(key) as run:
            await run.map("done", _item, range(steps))
            raise _Died
    before = state.stats.statements
    async with state.run(key) as run:
        await run.map("done", _item, range(steps))
        await run.step("next", _empty)
        return state.stats.statements - before


async def _item(number: int) -> int:
    return number


class _Died(Exception):
    pass


class _dies:
    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool:
        return kind is _Died


async def _cost(state: State, before: int, steps: int) -> float:
    """Seconds for each of some steps of a run that has so many already."""
    async with state.run(f"bench/cost-{next(_numbers)}") as run:
        await run.map("before", _item, range(before), concurrency=256)
        began = time.perf_counter()
        for _ in range(steps):
            await run.step("measured", _empty)
        return (time.perf_counter() - began) / steps


async def measure(server: Server, quick: bool) -> Report:
    """The table."""
    rounds, steps, alone = (3, 50, 200) if quick else (5, 200, 1000)
    async with AsyncExitStack() as stack:
        database: Database = await stack.enter_async_context(server.database())
        state = await stack.enter_async_context(pgstate.connect(database.dsn))
        ours = _ours(state)
        peer: Rate | None = None
        name = "nothing beside it: pip install -e '.[benchmarks]'"
        try:
            name = f"DBOS {version('dbos')}"
            peer = await _dbos(stack, await stack.enter_async_context(server.empty()))
        except PackageNotFoundError:
            pass
        report = Report("Durable runs, empty steps", name)
        for workers, count, wanted in ((1, alone, 3.0), (16, steps, 8.0)):
            rates: list[tuple[float, float]] = []
            for number in range(-1, rounds):
                mine = await ours(workers, count)
                theirs = await peer(workers, count) if peer is not None else 0.0
                if number >= 0:
                    rates.append((mine, theirs))
            ratios = [mine / theirs for mine, theirs in rates if theirs]
            report.lines.append(
                Line(
                    f"steps of {workers} runs at once in one process",
                    f"{median([mine for mine, _ in rates]):,.0f}/s",
                    f"{median([theirs for _, theirs in rates]):,.0f}/s" if ratios else "",
                    f"{median(ratios):.2f}  ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else "",
                    f"at least {wanted:g}",
                    median(ratios) >= wanted if ratios else None,
                )
            )
        trips = await _resume(state, 1000) - 1
        report.lines.append(
            Line("round trips to resume a run of 1,000 steps", str(trips), "", "", "at most 2", trips <= 2)
        )
        few, many = 10, 1_000 if quick else 10_000
        costs = [(await _cost(state, few, alone), await _cost(state, many, alone)) for _ in range(rounds)]
        ratio = median([large / small for small, large in costs])
        report.lines.append(
            Line(
                f"a step after {many:,} others, beside after {few}",
                f"{median([large for _, large in costs]) * 1000:.2f} ms",
                f"{median([small for small, _ in costs]) * 1000:.2f} ms",
                f"{ratio:.2f}",
                "at most 1.2",
                ratio <= 1.2,
            )
        )
        report.notes.append(
            f"{rounds} rounds, ours and the peer in turns; {alone} steps alone, {steps} of each of 16 runs"
        )
        return report


if __name__ == "__main__":
    run([measure], __doc__)
