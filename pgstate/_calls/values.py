"""get, list, history, and the set-based writes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from pgstate._calls._run import Connection, fetch, fetch_row
from pgstate.types import Row

# Sending and decoding its columns is two thirds of a listing's cost, each column a thirtieth of it. So times travel as
# seconds (asyncpg's datetimes, which few look at, were a quarter), and what few entries have travels together as JSON,
# null for all others: types.Entry gives it back.
_COLUMNS = (
    "key, value::text as value, version, writer, via, pg_catalog.date_part('epoch', created_at) as created_at, "
    "pg_catalog.date_part('epoch', nullif(updated_at, created_at)) as updated_at, "
    "case when kind <> 'value' or expires_at is not null or priority <> 0 or not_before is not null then "
    "pg_catalog.jsonb_build_object('kind', kind, 'expires_at', pg_catalog.date_part('epoch', expires_at), "
    "'priority', priority, 'not_before', pg_catalog.date_part('epoch', not_before))::text end as extra, "
    "nullif(trust, 'agent') as trust"
)


async def get(
    connection: Connection, key: str, agent: str | None, min_trust: str | None = None, *, timeout: float
) -> Row:
    if min_trust is not None:
        sql = f"select status, {_COLUMNS} from pgstate.get($1, $2, $3)"
        return await fetch_row(connection, sql, key, agent, min_trust, timeout=timeout)
    return await fetch_row(
        connection, f"select status, {_COLUMNS} from pgstate.get($1, $2)", key, agent, timeout=timeout
    )


async def get_many(
    connection: Connection, keys: list[str], agent: str | None, min_trust: str | None = None, *, timeout: float
) -> Sequence[Row]:
    sql = f"select status, {_COLUMNS}, code, message from pgstate.get_many($1, $2, $3)"
    return await fetch(connection, sql, keys, agent, min_trust, timeout=timeout)


async def list_(
    connection: Connection,
    pattern: str,
    limit: int | None,
    after: str | None,
    agent: str | None,
    claimed: bool | None = None,
    min_trust: str | None = None,
    *,
    timeout: float,
) -> tuple[str, Sequence[Row]]:
    """The point of the feed, empty on a standby, and the rows."""
    # the cursor in a row of its own, which has no value: in every row it is a third of a small entry's bytes
    columns = _COLUMNS.replace("value::text", "coalesce(value::text, cursor)", 1)
    sql = (
        f"select {columns} from pgstate.list($1, $2, $3, bookmark => true, agent => $4, claimed => $5, min_trust => $6)"
    )
    *rows, bookmark = await fetch(connection, sql, pattern, limit, after, agent, claimed, min_trust, timeout=timeout)
    return bookmark["value"] or "", rows


async def history(
    connection: Connection, key: str, limit: int | None, before: int | None, agent: str | None, *, timeout: float
) -> Sequence[Row]:
    sql = (
        "select key, version, op, value::text as value, writer, via, at, expires_at, created, trust "
        "from pgstate.history($1, $2, $3, $4)"
    )
    return await fetch(connection, sql, key, limit, before, agent, timeout=timeout)


WRITE_COLUMNS = 12

_WRITE_MANY = """
select status, version, value::text as value, code, message, watched
  from pgstate.write_many($1, $2, $3::text[]::jsonb[], $4, $5::text[]::jsonb[], $6, $7, $8, $9, $10, $11, $12,
                          lane => $13, turn => $14, wake => $13::uuid is null, lock_timeout => $15, agent => $16)
"""

# with trust and sources
_WRITE_DECLARED = """
select status, version, value::text as value, code, message, watched
  from pgstate.write_many($1, $2, $3::text[]::jsonb[], $4, $5::text[]::jsonb[], $6, $7, $8, $9, $10, $11, $12,
                          trusts => $13, sources => $14::text[]::jsonb[], lane => $15, turn => $16,
                          wake => $15::uuid is null, lock_timeout => $17, agent => $18)
"""

_WRITE_TOGETHER, _WRITE_TOGETHER_DECLARED = (
    sql.replace("lane =>", '"atomic" => true, lane =>') for sql in (_WRITE_MANY, _WRITE_DECLARED)
)


_WRITE_ONE = """
select status, version, value::text as value, code, message, watched
  from pgstate.write_one($1, $2, $3::text::jsonb, $4, $5::text::jsonb, $6, $7, $8, $9, $10, $11, $12, $13, $14,
                         wake => $13::uuid is null, lock_timeout => $15, agent => $16)
"""


_WRITE_AND_WAKE = """
call pgstate.write_and_wake($1, $2, $3::text::jsonb, $4, $5::text::jsonb, $6, $7, $8, $9, $10, $11, $12, $13, $14,
                            $15, $16, null, null, null, null, null, null)
"""


async def write_one(
    connection: Connection,
    row: Sequence[Any],
    lane: UUID | None,
    turn: int | None,
    lock_timeout: str | None,
    agent: str | None,
    *,
    timeout: float,
) -> Row:
    """`row`: op, key, value, expect, expect_value, ttl, token, priority, not_before, reducer, return_value, op_id.
    Raises LockBusy when a lock was waited for longer than `lock_timeout`: then nothing was done."""
    return await fetch_row(connection, _WRITE_ONE, *row, lane, turn, lock_timeout, agent, timeout=timeout)


async def write_and_wake(
    connection: Connection,
    row: Sequence[Any],
    lane: UUID | None,
    turn: int | None,
    lock_timeout: str | None,
    agent: str | None,
    *,
    timeout: float,
) -> Row:
    """`write_one`, and when it is committed, watchers are woken in the same round trip. Not inside a transaction."""
    return await fetch_row(connection, _WRITE_AND_WAKE, *row, lane, turn, lock_timeout, agent, timeout=timeout)


async def write_many(
    connection: Connection,
    columns: Sequence[Sequence[Any] | None],
    lane: UUID | None,
    turn: int | None,
    lock_timeout: str | None,
    agent: str | None,
    *,
    timeout: float,
) -> Sequence[Row]:
    """`columns` are those of `write_one`; one without anything in it may be None. Two more may follow:
    trust and sources."""
    sql = _WRITE_MANY if len(columns) == WRITE_COLUMNS else _WRITE_DECLARED
    return await fetch(connection, sql, *columns, lane, turn, lock_timeout, agent, timeout=timeout)


async def write_together(
    connection: Connection,
    columns: Sequence[Sequence[Any] | None],
    lane: UUID | None,
    turn: int | None,
    lock_timeout: str | None,
    agent: str | None,
    *,
    timeout: float,
) -> Sequence[Row]:
    """As `write_many`, all or nothing. `columns` without op_id."""
    sql = _WRITE_TOGETHER if len(columns) == WRITE_COLUMNS else _WRITE_TOGETHER_DECLARED
    return await fetch(connection, sql, *columns, lane, turn, lock_timeout, agent, timeout=timeout)


async def apply(
    connection: Connection,
    guards: str,
    operations: str,
    op_id: str | None,
    lane: UUID | None,
    turn: int | None,
    agent: str | None,
    *,
    timeout: float,
) -> Sequence[Row]:
    sql = (
        "select key, status, version, value::text as value, watched "
        "from pgstate.apply($1::text::jsonb, $2::text::jsonb, $3, $4, $5, wake => $4::uuid is null, agent => $6)"
    )
    return await fetch(connection, sql, guards, operations, op_id, lane, turn, agent, timeout=timeout)


async def end_lane(connection: Connection, lane: UUID, agent: str | None, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.end_lane($1, $2)", lane, agent, timeout=timeout)


async def expire(connection: Connection, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.expire()", timeout=timeout)


async def touch(
    connection: Connection, keys: list[str], agent: str | None, lives: list[timedelta] | None = None, *, timeout: float
) -> int:
    row = await fetch_row(connection, "select pgstate.touch($1, $2, $3) as count", keys, agent, lives, timeout=timeout)
    return int(row["count"])


async def namespaces(
    connection: Connection,
    pattern: str,
    matching: list[str] | None,
    depth: int | None,
    limit: int,
    offset: int,
    agent: str | None,
    *,
    timeout: float,
) -> list[str]:
    sql = "select namespaces from pgstate.namespaces($1, $2, $3, $4, $5, $6)"
    rows = await fetch(connection, sql, pattern, matching, depth, limit, offset, agent, timeout=timeout)
    return [row["namespaces"] for row in rows]
