"""Claims."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from pgstate._calls._run import Connection, fetch, fetch_row
from pgstate.types import Row

_COLUMNS = "status, key, value::text as value, version, token, lease_until, attempts, retry_in"


async def claim(
    connection: Connection,
    key: str,
    lease: timedelta,
    lane: UUID | None,
    turn: int | None,
    agent: str | None,
    *,
    timeout: float,
) -> Row:
    sql = f"select {_COLUMNS} from pgstate.claim($1, $2, $3, $4, $5)"
    return await fetch_row(connection, sql, key, lease, lane, turn, agent, timeout=timeout)


async def claim_next(
    connection: Connection,
    pattern: str,
    lease: timedelta,
    lane: UUID | None,
    turn: int | None,
    agent: str | None,
    *,
    timeout: float,
) -> Row:
    sql = f"select {_COLUMNS} from pgstate.claim_next($1, $2, $3, $4, $5)"
    return await fetch_row(connection, sql, pattern, lease, lane, turn, agent, timeout=timeout)


async def renew(
    connection: Connection, key: str, token: int, lease: timedelta, agent: str | None, *, timeout: float
) -> Row:
    sql = f"select {_COLUMNS} from pgstate.renew($1, $2, $3, $4)"
    return await fetch_row(connection, sql, key, token, lease, agent, timeout=timeout)


async def release(connection: Connection, key: str, token: int, agent: str | None, *, timeout: float) -> Row:
    sql = f"select {_COLUMNS} from pgstate.release($1, $2, $3)"
    return await fetch_row(connection, sql, key, token, agent, timeout=timeout)


async def list_claims(connection: Connection, pattern: str, agent: str | None, *, timeout: float) -> Sequence[Row]:
    sql = "select key, holder, lease_until, lease_left, attempts, claimed_at from pgstate.list_claims($1, $2)"
    return await fetch(connection, sql, pattern, agent, timeout=timeout)
