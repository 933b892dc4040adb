"""Rows that another session has locked, and a point where statements are seen to wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

_WAITING = """
select count(distinct l.pid) from pg_locks l join pg_stat_activity a using (pid)
 where not l.granted and a.datname = current_database() and l.relation is not distinct from coalesce($1::text::regclass, l.relation)
"""


class Locks:
    """`async with locks.on("k"): ... await locks.waited_for(1)`."""

    def __init__(self, holder: asyncpg.Connection, looker: asyncpg.Connection) -> None:
        self.holder = holder
        self.looker = looker

    @asynccontextmanager
    async def on(self, *keys: str) -> AsyncIterator[None]:
        async with self.holder.transaction():
            await self.lock(*keys)
            yield

    async def lock(self, *keys: str) -> None:
        await self.holder.execute("select from pgstate.entry where key = any ($1) for update", keys)

    async def left_alone(self) -> None:
        """Returns when no statement waits for locks: those that were cancelled have ended."""
        async with asyncio.timeout(20):
            while await self.looker.fetchval(_WAITING, None) > 0:
                await asyncio.sleep(0.005)

    async def waited_for(self, count: int = 1, *, table: str | None = None) -> None:
        """Returns as soon as this many statements wait for locks, of a table as a whole if it is named."""
        async with asyncio.timeout(120):
            while await self.looker.fetchval(_WAITING, table) < count:
                await asyncio.sleep(0.005)
