"""The past: reading it, and going back to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pgstate._calls._run import Connection, fetch, fetch_row
from pgstate.types import Row

# times as in values.py
_COLUMNS = (
    "key, value::text as value, version, writer, via, "
    "pg_catalog.date_part('epoch', updated_at) as updated_at, expires_at, trust"
)
_ROLLED_BACK = (
    "key, status, action, version, from_version, to_version, old_value::text as old, new_value::text as new, "
    "expires_at, watched"
)


async def get_as_of(
    connection: Connection,
    key: str,
    version: int | None,
    cursor: str | None,
    at: datetime | None,
    agent: str | None,
    *,
    timeout: float,
) -> Row:
    sql = f"select status, {_COLUMNS} from pgstate.get_as_of($1, $2, $3, $4, $5)"
    return await fetch_row(connection, sql, key, version, cursor, at, agent, timeout=timeout)


async def list_as_of(
    connection: Connection,
    pattern: str,
    limit: int | None,
    after: str | None,
    cursor: str | None,
    at: datetime | None,
    agent: str | None,
    *,
    timeout: float,
) -> tuple[str, Sequence[Row]]:
    """The point of the feed that was listed, empty if the feed cannot go on from there, and the rows."""
    sql = f"select {_COLUMNS}, cursor from pgstate.list_as_of($1, $2, $3, $4, $5, bookmark => true, agent => $6)"
    *rows, bookmark = await fetch(connection, sql, pattern, limit, after, cursor, at, agent, timeout=timeout)
    return bookmark["cursor"] or "", rows


async def plan_rollback(
    connection: Connection,
    pattern: str,
    version: int | None,
    cursor: str | None,
    at: datetime | None,
    writer: str | None,
    force: bool,
    agent: str | None,
    *,
    timeout: float,
) -> Sequence[Row]:
    """What `rollback` would do."""
    sql = (
        f"select {_ROLLED_BACK} from pgstate.rollback($1, $2, $3, $4, writer => $5, force => $6, dry_run => true, "
        "agent => $7)"
    )
    return await fetch(connection, sql, pattern, version, cursor, at, writer, force, agent, timeout=timeout)


async def rollback(
    connection: Connection,
    pattern: str,
    version: int | None,
    cursor: str | None,
    at: datetime | None,
    writer: str | None,
    force: bool,
    op_id: str | None,
    lane: UUID | None,
    turn: int | None,
    agent: str | None,
    *,
    timeout: float,
) -> Sequence[Row]:
    sql = (
        f"select {_ROLLED_BACK} from pgstate.rollback($1, $2, $3, $4, writer => $5, force => $6, op_id => $7, "
        "lane => $8, turn => $9, wake => $8::uuid is null, agent => $10)"
    )
    arguments = (pattern, version, cursor, at, writer, force, op_id, lane, turn, agent)
    return await fetch(connection, sql, *arguments, timeout=timeout)
