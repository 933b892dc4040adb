"""Claiming and completing tasks beside SKIP LOCKED by hand, and beside queues: `python -m benchmarks.claims`."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import asyncpg

import pgstate
from benchmarks._measure import median
from benchmarks._run import run
from benchmarks._server import Actor, Database, Server
from benchmarks._table import Line, Report
from pgstate import State

VALUE = {"text": "x" * 189}
TEXT = json.dumps(VALUE)
_POOL = 16
_FEW, _MANY = 100, 1_000_000
_OLD = 20_000

# By hand: taking an expired lease over needs a state, a lease and a token; what is done is kept, as ours keeps it.
_TABLE = """
create table job (
  id bigserial primary key, queue text not null, priority int not null default 0, payload jsonb not null,
  state text not null default 'waiting', token bigint, worker text, lease_until timestamptz,
  created_at timestamptz not null default now()
);
create index on job (queue, priority desc, created_at) where state <> 'done';
create sequence job_token;
"""
_CLAIM = """
update job set state = 'claimed', token = nextval('job_token'), worker = 'w', lease_until = now() + interval '30 s'
 where id = (select id from job where queue = 'q' and (state = 'waiting' or state = 'claimed' and lease_until < now())
              order by priority desc, created_at limit 1 for update skip locked)
returning id, payload, token
"""
_COMPLETE = """
update job set state = 'done', lease_until = null where id = $1 and token = $2 and lease_until > now() returning id
"""

# Tasks as put() leaves them, many at once.
_FILL = """
with numbers as (select n, $1 || '/' || lpad(n::text, 8, '0') as key from generate_series(1, $2::int) n),
entries as (
  insert into pgstate.entry (key, parent, version, live, value, writer, via, created_at, updated_at)
  select key, $1, 1, true, $3::text::jsonb, 'w', 'w', now() - interval '1 hour' + n * interval '1 us', now()
    from numbers)
insert into pgstate.version (key, version, epoch, op, created, value, writer, via, at)
select key, 1, (select epoch from pgstate.install), 'put', true, $3::text::jsonb, 'w', 'w', now() from numbers
"""


async def measure(server: Server, quick: bool) -> Report:
    """Throughput with 1, 8 and 64 workers, and what a claim costs when much waits or was done."""
    report = Report("claims: claim and complete of tasks of 200 bytes, tasks a second", "peer")
    tasks = 1000 if quick else 10_000
    rounds = 1 if quick else 3
    async with server.database() as database:
        actor = await database.agent("agent", ["tasks/**", "few/**", "many/**", "old/**"])
        await _throughput(report, server, database, actor, tasks, rounds)
        await _cost(report, server, database, actor, 100_000 if quick else _MANY)
    report.notes.append(
        f"{tasks:,} tasks, {rounds} rounds in turns. Ours as an agent with a login of its own, retry protection on, in "
        f"one process; by hand as the owner through an asyncpg pool of {_POOL}; a claim and a completion are a commit "
        "each, on disk before they are answered. Queues run empty jobs; pgqueuer claims as many at once as there are "
        "workers and completes them by the batch meanwhile, and beside it ours does too."
    )
    return report


async def _throughput(
    report: Report, server: Server, database: Database, actor: Actor, tasks: int, rounds: int
) -> None:
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(pgstate.connect(actor.dsn, agent=actor.name))
        pool = await stack.enter_async_context(asyncpg.create_pool(database.dsn, min_size=_POOL, max_size=_POOL))
        await pool.execute(_TABLE)
        kept = await asyncpg.connect(database.dsn)
        stack.push_async_callback(kept.close)
        peers: list[tuple[str, Callable[[int, int], Awaitable[float]], dict[int, float | None]]] = [
            ("by hand", lambda workers, count: _by_hand(pool, workers, count), {1: 0.8, 8: None, 64: 2.0}),
            ("by hand, one connection, no pool", lambda workers, count: _by_hand(kept, workers, count), {1: None}),
        ]
        for name, make in (("procrastinate", _procrastinate), ("pgqueuer", _pgqueuer)):
            try:
                report.notes.append(f"{name} {version(name)}.")
            except PackageNotFoundError:
                report.notes.append(f"{name} is not installed (pip install -e '.[benchmarks]'): left out.")
                continue
            one_at_a_time = await make(stack, database)
            peers.append((name, one_at_a_time, {1: 1.0, 64: 1.0}))
        for name, peer, wanted in peers:
            ours_too = partial(_ours_by_batches if name == "pgqueuer" else _ours, state)
            for workers, at_least in wanted.items():
                # a queue that is slow need not be watched for minutes
                count = tasks if name != "procrastinate" else max(tasks // 5, 200)
                ours, theirs = [], []
                await ours_too(workers, max(count // 10, 64))
                await peer(workers, max(count // 10, 64))
                for number in range(rounds):
                    await server.settle()
                    if number % 2:
                        theirs.append(await peer(workers, count))
                        ours.append(await ours_too(workers, count))
                    else:
                        ours.append(await ours_too(workers, count))
                        theirs.append(await peer(workers, count))
                ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
                report.lines.append(
                    Line(
                        f"{workers} worker{'s' if workers > 1 else ''}; peer: {name}",
                        f"{median(ours):,.0f}/s",
                        f"{median(theirs):,.0f}/s",
                        f"{median(ratios):.2f}  ({min(ratios):.2f} to {max(ratios):.2f})",
                        "" if at_least is None else f"at least {at_least:g}",
                        None if at_least is None else median(ratios) >= at_least,
                    )
                )


async def _ours(state: State, workers: int, count: int) -> float:
    await state.put_many([(f"tasks/{number:08}", VALUE) for number in range(count)])
    done = 0

    async def work() -> None:
        nonlocal done
        while (task := await state.claim_next("tasks/*", 30)) is not None:
            await state.complete(task.key, task.token)
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(workers)))
    took = time.perf_counter() - began
    assert done == count, f"{done} of {count}"
    return count / took


async def _ours_by_batches(state: State, size: int, count: int) -> float:
    """As pgqueuer works: so many claimed by one statement, each completed while the next are claimed."""
    await state.put_many([(f"tasks/{number:08}", VALUE) for number in range(count)])
    began, done = time.perf_counter(), 0
    completing: asyncio.Future[Any] = asyncio.gather()
    while tasks := await state.claim_many("tasks/*", size, 30):
        await completing
        completing = asyncio.gather(*(state.complete(task.key, task.token) for task in tasks))
        done += len(tasks)
    await completing
    took = time.perf_counter() - began
    assert done == count, f"{done} of {count}"
    return count / took


async def _by_hand(pool: asyncpg.Pool[Any] | asyncpg.Connection[Any], workers: int, count: int) -> float:
    await pool.executemany("insert into job (queue, payload) values ('q', $1)", [(TEXT,)] * count)
    done = 0

    async def work() -> None:
        nonlocal done
        while (row := await pool.fetchrow(_CLAIM)) is not None:
            assert await pool.fetchval(_COMPLETE, row["id"], row["token"]) is not None
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(workers)))
    took = time.perf_counter() - began
    assert done == count, f"{done} of {count}"
    return count / took


async def _procrastinate(stack: AsyncExitStack, database: Database) -> Callable[[int, int], Awaitable[float]]:
    import procrastinate

    logging.getLogger("procrastinate").setLevel(logging.ERROR)
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=database.dsn, max_size=_POOL))
    await stack.enter_async_context(app.open_async())
    await app.schema_manager.apply_schema_async()

    @app.task(name="empty")
    async def empty(text: str) -> None:
        pass

    async def run_jobs(workers: int, count: int) -> float:
        await empty.batch_defer_async(*({"text": VALUE["text"]} for _ in range(count)))
        began = time.perf_counter()
        await app.run_worker_async(wait=False, concurrency=workers, install_signal_handlers=False)
        return count / (time.perf_counter() - began)

    return run_jobs


async def _pgqueuer(stack: AsyncExitStack, database: Database) -> Callable[[int, int], Awaitable[float]]:
    from pgqueuer import PgQueuer, Queries
    from pgqueuer.db import AsyncpgPoolDriver
    from pgqueuer.types import QueueExecutionMode

    logging.getLogger("pgqueuer").setLevel(logging.ERROR)
    pool = await stack.enter_async_context(asyncpg.create_pool(database.dsn, min_size=_POOL, max_size=_POOL))
    queries = Queries(AsyncpgPoolDriver(pool))
    await queries.install()

    async def run_jobs(workers: int, count: int) -> float:
        payload = VALUE["text"].encode()
        await queries.enqueue(["empty"] * count, [payload] * count, [0] * count)
        queuer = PgQueuer(AsyncpgPoolDriver(pool))
        ran = 0

        @queuer.entrypoint("empty")
        async def empty(job: Any) -> None:
            nonlocal ran
            ran += 1

        began = time.perf_counter()
        # until the last completion is on disk: it collects them, and runs the next jobs meanwhile
        await queuer.run(batch_size=workers, mode=QueueExecutionMode.drain)
        took = time.perf_counter() - began
        assert ran == count, f"{ran} of {count}"
        return count / took

    return run_jobs


async def _cost(report: Report, server: Server, database: Database, actor: Actor, many: int) -> None:
    """One claim after the other: with few and with many waiting, and with an old snapshot held open."""
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(pgstate.connect(actor.dsn, agent=actor.name))
        # only the owner fills tables by the million
        owner = await asyncpg.connect(database.dsn)
        stack.push_async_callback(owner.close)
        await owner.execute("set role pgstate_owner")
        await owner.execute("select 1")
        await owner.execute(_FILL, "few", 20 * _FEW, TEXT)
        await owner.execute(_FILL, "many", many, TEXT)
        await owner.execute(_FILL, "old", 2 * _OLD, TEXT)
        await owner.execute("reset role")
        await owner.execute("analyze")
        await server.settle()
        await state.put_many([(f"tasks/few-{number}", VALUE) for number in range(_FEW)])
        few, lots = [], []
        for _ in range(11):
            few.append(await _claims(state, "tasks/*", 60))
            lots.append(await _claims(state, "many/*", 60))
            await state.put_many([(f"tasks/few-{number}", VALUE) for number in range(_FEW)])
        ratios = [b / a for a, b in zip(few, lots, strict=True)]
        report.lines.append(
            Line(
                f"a claim with {many:,} waiting; peer: with {_FEW}",
                f"{median(lots) * 1000:.2f} ms",
                f"{median(few) * 1000:.2f} ms",
                f"{median(ratios):.2f}  ({min(ratios):.2f} to {max(ratios):.2f})",
                "at most 1.25",
                median(ratios) <= 1.25,
            )
        )
        before = [await _claims(state, "old/*", 60) for _ in range(11)]
        snapshot = await asyncpg.connect(database.dsn)
        stack.push_async_callback(snapshot.close)
        await snapshot.execute("begin isolation level repeatable read")
        await snapshot.fetchval("select count(*) from pg_class")
        done = await _claims(state, "old/*", _OLD, together=64)
        after = [await _claims(state, "old/*", 60) for _ in range(11)]
        ratio = median(after) / median(before)
        report.lines.append(
            Line(
                f"a claim after {_OLD:,} since an old snapshot; peer: before",
                f"{median(after) * 1000:.2f} ms",
                f"{median(before) * 1000:.2f} ms",
                f"{ratio:.2f}",
                "at most 2",
                ratio <= 2,
            )
        )
        report.notes.append(f"The {_OLD:,} were claimed and completed by 64 workers, {done * 1e6:.0f} us each.")


async def _claims(state: State, pattern: str, count: int, together: int = 1) -> float:
    """Seconds that a claim took, the median; completing is not counted. Of many workers: seconds for one task."""
    took: list[float] = []
    numbers = iter(range(count))

    async def work() -> None:
        for _ in numbers:
            began = time.perf_counter()
            task = await state.claim_next(pattern, 3600)
            took.append(time.perf_counter() - began)
            assert task is not None
            await state.complete(task.key, task.token)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(together)))
    return median(took) if together == 1 else (time.perf_counter() - began) / count


if __name__ == "__main__":
    run([measure], __doc__)
