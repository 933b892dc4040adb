"""Writes in the caller's transaction beside one more insert, and helpers beside calls: `python -m benchmarks.bound`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import psycopg
from sqlalchemy import text
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
_TEN = range(10)
# at most 1.4 and 1.3 times as long
_WRITE, _HELPER = 1 / 1.4, 1 / 1.3

_TABLES = """
create table orders (
  id bigint generated always as identity primary key, body jsonb not null, at timestamptz not null default now());
create table lines (
  id bigint generated always as identity primary key, order_id bigint not null references orders (id),
  body jsonb not null, at timestamptz not null default now());
create index on lines (order_id);
grant select, insert on orders, lines to public;
"""
_ORDER = "insert into orders (body) values ({}) returning id"
_LINE = "insert into lines (order_id, body) values ({}, {}) returning id"
_LINES = 2

Run = Callable[..., Awaitable[Any]]


async def measure(server: Server, quick: bool) -> Report:
    """put in a transaction that places an order, on each kind of connection; put and get of pgstate.orm."""
    effort = Effort(3, 0.25) if quick else Effort(9, 0.5)
    report = Report("bound: state of 200 bytes in the caller's transaction", "plain")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(server.database())
        admin = await asyncpg.connect(database.dsn)
        await admin.execute(_TABLES)
        await admin.close()
        comparisons = await _comparisons(stack, await database.agent("shop", ["tasks/**", "orders/**"]))
        await server.settle()
        await compare(comparisons, effort)
    for comparison in comparisons:
        report.add(comparison)
    report.notes.append(
        f"{effort}. Ours begins, inserts an order and {_LINES} lines, puts and commits; nobody watches. Plain inserts "
        "one line more instead. The login of an application that is an agent with two granted subtrees. The helpers' "
        "lines: ten calls in one transaction of a session, beside ten of a state bound to an asyncpg connection in "
        "one; and one call with its transaction beside one of a client with one connection, which has its own."
    )
    return report


async def _comparisons(stack: AsyncExitStack, actor: Actor) -> list[Comparison]:
    state = await stack.enter_async_context(pgstate.connect(actor.dsn, agent=actor.name, connections=1))
    await state.put_many({f"tasks/{number}": VALUE for number in range(_KEYS)})

    own = await asyncpg.connect(actor.dsn)
    stack.push_async_callback(own.close)
    psyco = await stack.enter_async_context(await psycopg.AsyncConnection.connect(actor.dsn, autocommit=True))
    engine = create_async_engine(actor.dsn.replace("postgresql://", "postgresql+asyncpg://"))
    stack.push_async_callback(engine.dispose)
    session = await stack.enter_async_context(AsyncSession(engine))

    async def on_psycopg(sql: str, *args: Any) -> Any:
        return (await (await psyco.execute(sql, args)).fetchone())[0]  # type: ignore[index]

    statements = {sql: text(sql) for sql in (_ORDER.format(":a"), _LINE.format(":a", ":b"))}

    async def in_session(sql: str, *args: Any) -> Any:
        return (await session.execute(statements[sql], dict(zip("ab", args, strict=False)))).scalar_one()

    lines = []
    for name, begin, insert, places, bound in (
        ("asyncpg", own.transaction, own.fetchval, ("$1", "$2"), state.bind(own)),
        ("psycopg", psyco.transaction, on_psycopg, ("%s", "%s"), state.bind(psyco)),
        ("SQLAlchemy", session.begin, in_session, (":a", ":b"), state.bind(session)),
    ):
        plain, existing, new = _transactions(begin, insert, places, bound)
        lines.append(Comparison(f"{name}: put of a key that exists", existing, plain, 1, _WRITE))
        lines.append(Comparison(f"{name}: put of a new key", new, plain, 1, _WRITE))

    async def helpers(number: int) -> None:
        async with session.begin():
            for n in _TEN:
                await pgstate.orm.put(session, _key(number + n), VALUE)

    async def bound_puts(number: int) -> None:
        async with own.transaction():
            for n in _TEN:
                await on_own.put(_key(number + n), VALUE)

    async def helper_gets(number: int) -> None:
        async with session.begin():
            for n in _TEN:
                await pgstate.orm.get(session, _key(number + n))

    async def bound_gets(number: int) -> None:
        async with own.transaction():
            for n in _TEN:
                await on_own.get(_key(number + n))

    async def helper(number: int) -> None:
        async with session.begin():
            await pgstate.orm.put(session, _key(number), VALUE)

    on_own = state.bind(own)
    return [
        *lines,
        Comparison("orm.put, 10 in a session's transaction; peer: bound to asyncpg", helpers, bound_puts, 1, _HELPER),
        Comparison(
            "orm.get, 10 in a session's transaction; peer: bound to asyncpg", helper_gets, bound_gets, 1, _HELPER
        ),
        Comparison("orm.put with its transaction; peer: state.put", helper, lambda n: state.put(_key(n), VALUE)),
    ]


def _transactions(
    begin: Callable[[], Any], insert: Run, places: tuple[str, str], bound: pgstate.BoundState
) -> tuple[Run, Run, Run]:
    """An order with one line more; with state under a key that exists; with state under a new one."""
    order_sql, line_sql = _ORDER.format(places[0]), _LINE.format(*places)

    async def place(lines: int) -> int:
        order: int = await insert(order_sql, TEXT)
        for _ in range(lines):
            await insert(line_sql, order, TEXT)
        return order

    async def plain(_: int) -> None:
        async with begin():
            await place(_LINES + 1)

    async def existing(number: int) -> None:
        async with begin():
            await place(_LINES)
            await bound.put(_key(number), VALUE)

    async def new(_: int) -> None:
        async with begin():
            await bound.put(f"orders/{await place(_LINES)}", VALUE)

    return plain, existing, new


def _key(number: int) -> str:
    return f"tasks/{number % _KEYS}"


if __name__ == "__main__":
    run([measure], __doc__)
