"""Reading and writing values beside raw SQL on a single table: `python -m benchmarks.values`."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Any

import asyncpg

import pgstate
from benchmarks._measure import Comparison, Effort, compare
from benchmarks._run import run
from benchmarks._server import AREAS, Actor, Database, Server
from benchmarks._table import Report

VALUE = {"text": "x" * 189}
TEXT = json.dumps(VALUE)
_POOL = 10
_TASKS = 64
_KEYS = [f"{area}/key-{number}" for number in range(5) for area in AREAS]
_WIDE = [f"wide/key-{number:04d}" for number in range(1000)]

_TABLE = 'create table raw (key text collate "C" primary key, value jsonb, version bigint, updated_at timestamptz)'
_UPSERT = (
    "insert into raw (key, value, version, updated_at) values ($1, $2, 1, now()) on conflict (key) do update "
    "set value = excluded.value, version = raw.version + 1, updated_at = excluded.updated_at"
)
_SELECT = "select key, value, version, updated_at from raw where key = $1"
_RANGE = "select key, value, version, updated_at from raw where key >= $1 and key < $2 order by key limit 1000"
_SAME_COLUMNS = _RANGE.replace(
    "updated_at",
    "'value' as kind, 'somebody' as writer, 'somebody' as via, updated_at as created_at, updated_at, "
    "null::timestamptz as expires_at, 0 as priority, null::timestamptz as not_before, key as cursor",
    1,
)


async def measure(server: Server, quick: bool) -> Report:
    """put, get, list and merge against raw statements through a pool of 10."""
    effort = Effort(3, 0.25) if quick else Effort(7, 0.5)
    report = Report("values: 200 bytes each, 1,000 keys that exist", "raw SQL")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(server.database())
        actor = await database.agent("agent", [f"{subtree}/**" for subtree in [*AREAS, "wide"]])
        comparisons = await _comparisons(stack, database, actor)
        await server.settle()
        await compare(comparisons, effort)
    for comparison in comparisons:
        report.add(comparison)
    report.notes.append(
        f"{effort}. Ours as an agent with {len(AREAS) + 1} granted subtrees, retry protection on, unless the line says "
        f"otherwise; raw as the owner, with an asyncpg pool of {_POOL} unless it says otherwise, given ready-made JSON."
    )
    return report


async def _comparisons(stack: AsyncExitStack, database: Database, actor: Actor) -> list[Comparison]:
    admin = await stack.enter_async_context(pgstate.connect(database.dsn))
    agent = await stack.enter_async_context(pgstate.connect(actor.dsn, agent=actor.name))
    pool = await _pool(stack, database.dsn)
    callers = await _pool(stack, actor.dsn)
    kept = await stack.enter_async_context((await _pool(stack, database.dsn, 1)).acquire())

    await pool.execute(_TABLE)
    await pool.executemany(_UPSERT, [(key, TEXT) for key in [*_KEYS, *_WIDE]])
    await agent.put_many([(key, VALUE) for key in [*_KEYS, *_WIDE]])
    await pool.execute("analyze")

    put = lambda n: agent.put(_key(n), VALUE)  # noqa: E731
    get = lambda n: agent.get(_key(n))  # noqa: E731
    single = "select * from pgstate.merge('space/area-0000/single', $1, 'add', agent => $2)"
    return [
        Comparison("put, 1 task", put, lambda n: pool.execute(_UPSERT, _key(n), TEXT), 1, 0.65),
        Comparison(f"put, {_TASKS} tasks", put, lambda n: pool.execute(_UPSERT, _key(n), TEXT), _TASKS, 2.5),
        Comparison("get, 1 task", get, lambda n: pool.fetchrow(_SELECT, _key(n)), 1, 0.8),
        Comparison(f"get, {_TASKS} tasks", get, lambda n: pool.fetchrow(_SELECT, _key(n)), _TASKS, 2),
        Comparison(
            "list 1,000 keys, administrator",
            lambda n: admin.list("space/**"),
            lambda n: pool.fetch(_RANGE, "space/", "space0"),
            1,
            0.7,
        ),
        Comparison(
            "list 1,000 keys, agent, in one of its grants",
            lambda n: agent.list("wide/**"),
            lambda n: pool.fetch(_RANGE, "wide/", "wide0"),
            1,
            0.7,
        ),
        Comparison(
            "list 1,000 keys, agent, grants cut them into 200 pieces",
            lambda n: agent.list("space/**"),
            lambda n: pool.fetch(_RANGE, "space/", "space0"),
            1,
            0.7,
        ),
        Comparison(
            f"merge into one key, {_TASKS} tasks; peer: single calls",
            lambda n: agent.merge("space/area-0000/gathered", 1, "add"),
            lambda n: callers.fetchrow(single, "1", actor.name),
            _TASKS,
            5,
        ),
        Comparison("put, 1 task; peer: one connection, no pool", put, lambda n: kept.execute(_UPSERT, _key(n), TEXT)),
        Comparison("get, 1 task; peer: one connection, no pool", get, lambda n: kept.fetchrow(_SELECT, _key(n))),
        Comparison(
            "list, administrator; peer: the same twelve columns",
            lambda n: admin.list("space/**"),
            lambda n: pool.fetch(_SAME_COLUMNS, "space/", "space0"),
        ),
    ]


def _key(number: int) -> str:
    return _KEYS[number % len(_KEYS)]


async def _pool(stack: AsyncExitStack, dsn: str, size: int = _POOL) -> asyncpg.Pool[Any]:
    pool: asyncpg.Pool[Any] = await stack.enter_async_context(asyncpg.create_pool(dsn, min_size=size, max_size=size))
    return pool


if __name__ == "__main__":
    run([measure], __doc__)
