"""Options, and running benchmarks on one server."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

from benchmarks._server import Server, running
from benchmarks._table import Report, load, machine

Benchmark = Callable[[Server, bool], Awaitable[Report]]


def run(benchmarks: Sequence[Benchmark], about: str | None) -> None:
    """Parses the command line, runs the benchmarks one after the other and prints a table for each."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: a look, not a measurement")
    parser.add_argument("--dsn", help="an administrator's address on a server to use; needs CREATEDB and CREATEROLE")
    options = parser.parse_args()
    # a server of our own must not outlive a run that is ended
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with running(options.dsn) as server:
        asyncio.run(_run(benchmarks, server, options.quick))


async def _run(benchmarks: Sequence[Benchmark], server: Server, quick: bool) -> None:
    about = await machine(server.dsn)
    for benchmark in benchmarks:
        before, began = load(), time.monotonic()
        report = await benchmark(server, quick)
        took = time.monotonic() - began
        report.notes.append(f"{about}; load average {before} before, {load()} after; took {took:.0f} s")
        report.print()
