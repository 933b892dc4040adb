"""One face for the connections that a state can be bound to: transactions, savepoints and an application's own table."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine

from conftest import Database

KINDS = ["asyncpg", "psycopg", "session", "connection", "session on psycopg"]


class App:
    """A connection of the application's. `raw` is what a state is bound to."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """Commits at the end of the block, rolls back when it raises."""
        raise NotImplementedError

    def savepoint(self) -> AbstractAsyncContextManager[Any]:
        raise NotImplementedError

    async def run(self, sql: str) -> Any:
        """Runs a statement, and returns the first column of its first row."""
        raise NotImplementedError

    async def order(self, number: int) -> None:
        await self.run(f"insert into orders (id) values ({number}) returning id")

    async def orders(self) -> list[int]:
        found = await self.run("select coalesce(json_agg(id order by id), '[]')::text from orders")
        return list(json.loads(found))


class _Asyncpg(App):
    def transaction(self) -> Any:
        return self.raw.transaction()

    savepoint = transaction

    async def run(self, sql: str) -> Any:
        return await self.raw.fetchval(sql)


class _Psycopg(App):
    def transaction(self) -> Any:
        return self.raw.transaction()

    savepoint = transaction

    async def run(self, sql: str) -> Any:
        async with self.raw.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
            await cursor.execute(sql)
            row = await cursor.fetchone() if cursor.description else None
            return row and row[0]


class _Sqlalchemy(App):
    raw: AsyncSession | AsyncConnection

    def transaction(self) -> Any:
        return self.raw.begin()

    def savepoint(self) -> Any:
        return self.raw.begin_nested()

    async def run(self, sql: str) -> Any:
        result: Any = await self.raw.execute(text(sql))
        return result.scalar() if result.returns_rows else None


def address(dsn: str, driver: str) -> str:
    return dsn.replace("postgresql://", f"postgresql+{driver}://")


@asynccontextmanager
async def opened(kind: str, dsn: str) -> AsyncIterator[App]:
    """A connection of a kind, with settings of its own that pgstate must not mind or change."""
    if kind == "asyncpg":
        connection = await asyncpg.connect(dsn, statement_cache_size=0, server_settings={"timezone": "Asia/Tokyo"})
        for name in ("json", "jsonb"):
            await connection.set_type_codec(name, schema="pg_catalog", encoder=str, decoder=lambda _: "the codec's")
        try:
            yield _Asyncpg(connection)
        finally:
            connection.terminate()
    elif kind == "psycopg":
        made = await psycopg.AsyncConnection.connect(dsn, autocommit=True, row_factory=psycopg.rows.namedtuple_row)
        made.prepare_threshold = None
        psycopg.types.json.set_json_dumps(lambda _: '"dumped"', made)
        psycopg.types.json.set_json_loads(lambda _: "the codec's", made)
        for name in ("int8", "bool", "timestamptz"):
            made.adapters.register_loader(name, psycopg.types.string.TextLoader)
        await made.execute("set timezone to 'Asia/Tokyo'")
        await made.execute("set datestyle to 'German'")
        try:
            yield _Psycopg(made)
        finally:
            await made.close()
    else:
        driver = "psycopg" if kind.endswith("psycopg") else "asyncpg"
        engine = create_async_engine(address(dsn, driver), json_deserializer=lambda _: "the codec's")
        try:
            if kind == "connection":
                async with engine.connect() as own:
                    yield _Sqlalchemy(own)
            else:
                async with AsyncSession(engine) as session:
                    yield _Sqlalchemy(session)
        finally:
            await engine.dispose()


Open = Callable[..., Awaitable[App]]


def prepare(database: Database) -> None:
    """The application's table, which every login may write."""
    database.sql("create table public.orders (id int primary key)")
    database.sql("grant select, insert on public.orders to public")
