"""Points where a test waits for another session: a lock that is waited for, seen in the catalogue."""

from __future__ import annotations

import asyncio

import asyncpg

_POLLS = 12_000
_PAUSE = 0.005


async def wait_until_blocked(conn: asyncpg.Connection, pid: int) -> None:
    """Returns as soon as the backend `pid` waits for a lock; fails after a bounded number of looks.

    `conn` is any connection but that one. pg_locks shows everybody's locks, so it needs no rights.
    """
    for _ in range(_POLLS):
        if await conn.fetchval("select exists (select from pg_catalog.pg_locks where pid = $1 and not granted)", pid):
            return
        await asyncio.sleep(_PAUSE)
    activity = await conn.fetchval("select state || ': ' || query from pg_catalog.pg_stat_activity where pid = $1", pid)
    raise AssertionError(f"backend {pid} does not wait for a lock ({activity})")


async def wait_until_gone(conn: asyncpg.Connection, pid: int) -> None:
    """Returns as soon as no backend has this pid, its locks and transaction with it."""
    for _ in range(_POLLS):
        if not await conn.fetchval("select exists (select from pg_catalog.pg_stat_activity where pid = $1)", pid):
            return
        await asyncio.sleep(_PAUSE)
    raise AssertionError(f"backend {pid} is still there")


async def wait_until_true(conn: asyncpg.Connection, query: str) -> None:
    """Returns as soon as a query of one boolean says so."""
    for _ in range(_POLLS):
        if await conn.fetchval(query):
            return
        await asyncio.sleep(_PAUSE)
    raise AssertionError(f"it is not so: {query}")
