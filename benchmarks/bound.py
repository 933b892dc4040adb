"""Writes inside the caller's own transaction, beside one more plain insert there: `python -m benchmarks.bound`."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

import pgstate
import pgstate.orm
from benchmarks._measure import Comparison, Effort, compare
from benchmarks._run import run
from benchmarks._server import Actor, Server
from benchmarks._table import Report

VALUE = {"text": "x" * 189}
TEXT = json.dumps(VALUE)
_KEYS = 1000

# what an application's insert is: a sequence, a default, a foreign key
_TABLES = """
create table orders (id bigint generated always as identity primary key, body jsonb not null, at timestamptz not null default now());
create table notes (id bigint generated always as identity primary key, order_id bigint not null references orders (id),
                    body jsonb not null, at timestamptz not null default now());
grant select, insert on orders, notes to public;
"""
_ORDER = "insert into orders (body) values ($1) returning id"
_NOTE = "insert into notes (order_id, body) values ($1, $2) returning id"


async def measure(server: Server, quick: bool) -> Report:
    effort = Effort(3, 0.25) if quick else Effort(9, 0.5)
    report = Report("bound", "one more plain insert")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(server.database())
        actor = await database.agent("shop", ["tasks/**", "orders/**"])
        admin = await asyncpg.connect(database.dsn)
        await admin.execute(_TABLES)
        await admin.close()
        comparisons = await _comparisons(stack, actor)
        await server.settle()
        await compare(comparisons, effort)
    for comparison in comparisons:
        report.add(comparison)
    return report


async def _comparisons(stack: AsyncExitStack, actor: Actor) -> list[Comparison]:
    state = await stack.enter_async_context(pgstate.connect(actor.dsn, agent=actor.name, connections=1))
    await state.put_many({f"tasks/{n}": VALUE for n in range(_KEYS)})
    own = await asyncpg.connect(actor.dsn)
    stack.push_async_callback(own.close)
    bound = state.bind(own)
    numbers = iter(range(10**9))

    async def plain(_: int) -> None:
        async with own.transaction():
            order = await own.fetchval(_ORDER, TEXT)
            await own.fetchval(_NOTE, order, TEXT)

    async def existing(n: int) -> None:
        async with own.transaction():
            await own.fetchval(_ORDER, TEXT)
            await bound.put(f"tasks/{n % _KEYS}", VALUE)

    async def new(n: int) -> None:
        async with own.transaction():
            order = await own.fetchval(_ORDER, TEXT)
            await bound.put(f"orders/{order}", VALUE)

    engine = create_async_engine(actor.dsn.replace("postgresql://", "postgresql+asyncpg://"))
    stack.push_async_callback(engine.dispose)
    session = await stack.enter_async_context(AsyncSession(engine))
    from sqlalchemy import text

    sorder = text("insert into orders (body) values (:body) returning id")
    snote = text("insert into notes (order_id, body) values (:id, :body) returning id")

    async def splain(_: int) -> None:
        async with session.begin():
            order = (await session.execute(sorder, {"body": TEXT})).scalar_one()
            (await session.execute(snote, {"id": order, "body": TEXT})).scalar_one()

    async def sexisting(n: int) -> None:
        async with session.begin():
            (await session.execute(sorder, {"body": TEXT})).scalar_one()
            await pgstate.orm.put(session, f"tasks/{n % _KEYS}", VALUE)

    async def client(n: int) -> None:
        await state.put(f"tasks/{n % _KEYS}", VALUE)

    async def helper(n: int) -> None:
        async with session.begin():
            await pgstate.orm.put(session, f"tasks/{n % _KEYS}", VALUE)

    async def helper10(n: int) -> None:
        async with session.begin():
            for i in range(10):
                await pgstate.orm.put(session, f"tasks/{(n + i) % _KEYS}", VALUE)

    async def client10(n: int) -> None:
        for i in range(10):
            await state.put(f"tasks/{(n + i) % _KEYS}", VALUE)

    async def bound10(n: int) -> None:
        async with own.transaction():
            for i in range(10):
                await bound.put(f"tasks/{(n + i) % _KEYS}", VALUE)

    async def get10(n: int) -> None:
        async with session.begin():
            for i in range(10):
                await pgstate.orm.get(session, f"tasks/{(n + i) % _KEYS}")

    async def cget10(n: int) -> None:
        for i in range(10):
            await state.get(f"tasks/{(n + i) % _KEYS}")

    return [
        Comparison("existing", existing, plain, 1, 1 / 1.4),
        Comparison("new", new, plain, 1, 1 / 1.4),
        Comparison("session existing", sexisting, splain, 1, 1 / 1.4),
        Comparison("helper alone in tx / client", helper, client, 1, 1 / 1.3),
        Comparison("helper 10 in tx / client", helper10, client10, 1, 1 / 1.3),
        Comparison("helper 10 in tx / bound asyncpg", helper10, bound10, 1, 1 / 1.3),
        Comparison("get 10", get10, cget10, 1, 1 / 1.3),
    ]


if __name__ == "__main__":
    run([measure], __doc__)
