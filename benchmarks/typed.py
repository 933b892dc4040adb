"""Updates of typed states beside raw SQL that writes as many rows in one statement: `python -m benchmarks.typed`."""

from __future__ import annotations

import itertools
import json
import operator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Annotated, Any

import asyncpg

import pgstate
from benchmarks._measure import Comparison, Effort, compare
from benchmarks._run import run
from benchmarks._server import AREAS, Server
from benchmarks._table import Report
from pgstate import TypedState

_POOL = 10
_TASKS = 64

_TABLE = 'create table raw (key text collate "C" primary key, value jsonb, version bigint, updated_at timestamptz)'
# in key order, as ours: concurrent ones of the same rows would run into deadlocks
_UPSERT = (
    "insert into raw (key, value, version, updated_at) "
    "select n.key, n.value, 1, now() from unnest($1::text[], $2::text[]::jsonb[]) n (key, value) order by n.key "
    "on conflict (key) do update "
    "set value = excluded.value, version = raw.version + 1, updated_at = excluded.updated_at"
)
# what a table with history takes: who compares versions, or reads the past, has that as well
_HISTORY = (
    'create table raw_version (key text collate "C", version bigint, value jsonb, updated_at timestamptz, '
    "primary key (key, version))"
)
_UPSERT_KEPT = (
    f"with written as ({_UPSERT} returning key, version, raw.value, updated_at) "
    "insert into raw_version (key, version, value, updated_at) select key, version, value, updated_at from written"
)
_SELECT = "select key, value, version, updated_at from raw where key = any ($1)"


@dataclass
class Task:
    """Five fields, each merged otherwise."""

    title: str
    steps: Annotated[int, operator.add] = 0
    best: Annotated[float, max] = 0.0
    tags: Annotated[set[str], operator.or_] = field(default_factory=set)
    notes: Annotated[dict[str, str], operator.or_] = field(default_factory=dict)


_FIELDS = list(Task.__dataclass_fields__)
_TEXT = "x" * 150
_TAGS = ["a", "b", "c"]


async def measure(server: Server, quick: bool) -> Report:
    """update of five fields and load, against raw statements of five rows through a pool of 10."""
    effort = Effort(3, 0.25) if quick else Effort(7, 0.5)
    report = Report("typed: states of five fields that exist, about 200 bytes each", "raw SQL")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(server.database())
        few, many = [
            await stack.enter_async_context(pgstate.connect(actor.dsn, agent=actor.name))
            for actor in (
                await database.agent("few", ["space/**"]),
                await database.agent("many", [f"{subtree}/**" for subtree in AREAS]),
            )
        ]
        pool: asyncpg.Pool[Any] = await stack.enter_async_context(
            asyncpg.create_pool(database.dsn, min_size=_POOL, max_size=_POOL)
        )
        await pool.execute(_TABLE)
        await pool.execute(_HISTORY)
        paths = [f"{area}/task" for area in AREAS]
        views = [many.typed(Task, path) for path in paths]
        views_of_few = [few.typed(Task, path) for path in paths]
        keys = [[f"{path}/{name}" for name in _FIELDS] for path in paths]

        turn = itertools.count()

        # all fields change but the tags, which a set soon holds: a merge that changes nothing writes nothing
        async def update(number: int, views: list[TypedState[Task]] = views) -> None:
            now = next(turn)
            await views[number % len(views)].update(
                title=f"{now}{_TEXT}", steps=1, best=float(now), tags={_TAGS[now % len(_TAGS)]}, notes={"now": str(now)}
            )

        async def upsert(number: int, statement: str = _UPSERT) -> None:
            now = next(turn)
            values = [f"{now}{_TEXT}", 1, float(now), [_TAGS[now % len(_TAGS)]], {"now": str(now)}]
            await pool.execute(statement, keys[number % len(keys)], [json.dumps(value) for value in values])

        for number in range(len(paths)):
            await update(number)
            await upsert(number)
        await pool.execute("analyze")
        await server.settle()
        comparisons = [
            Comparison("update, 1 task, one grant", lambda n: update(n, views_of_few), upsert, 1, 0.6),
            Comparison("update, 1 task", update, upsert),
            Comparison("update, 1 task; peer: keeps versions too", update, lambda n: upsert(n, _UPSERT_KEPT)),
            Comparison(f"update, {_TASKS} tasks", update, upsert, _TASKS, 0.6),
            Comparison(f"update of one state, {_TASKS} tasks", lambda _: update(0), lambda _: upsert(0), _TASKS, 0.6),
            Comparison(
                "load, 1 task",
                lambda n: views[n % len(views)].load(),
                lambda n: pool.fetch(_SELECT, keys[n % len(keys)]),
            ),
            Comparison(
                f"load, {_TASKS} tasks",
                lambda n: views[n % len(views)].load(),
                lambda n: pool.fetch(_SELECT, keys[n % len(keys)]),
                _TASKS,
            ),
        ]
        await compare(comparisons, effort)
    for comparison in comparisons:
        report.add(comparison)
    report.notes.append(
        f"{effort}. Ours validates, merges by five reducers and keeps versions, as an agent with {len(AREAS)} granted "
        "subtrees (or one), retry protection on; raw replaces five rows in one statement, as the owner, with a "
        f"pool of {_POOL}. Load validates too; raw returns rows."
    )
    return report


if __name__ == "__main__":
    run([measure], __doc__)
