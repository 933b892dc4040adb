"""The change feed and wake-ups."""

from __future__ import annotations

from collections.abc import Sequence

from pgstate._calls._run import Connection, fetch, fetch_row
from pgstate.types import Row

_COLUMNS = (
    "c.agent, c.key, c.version, c.op, c.value::text as value, c.previous::text as previous, c.created, "
    "c.writer, c.via, c.at, c.expires_at, c.cursor, c.whole, c.trust"
)


async def cursor(connection: Connection, agent: str | None, *, timeout: float) -> str:
    row = await fetch_row(connection, "select pgstate.cursor($1) as cursor", agent, timeout=timeout)
    return str(row["cursor"])


async def changes(
    connection: Connection,
    cursor: str,
    patterns: list[str],
    limit: int,
    upto: str | None,
    agent: str | None,
    min_trust: str | None = None,
    *,
    timeout: float,
) -> Sequence[Row]:
    """Changes in order, then the bookmark."""
    sql = f"select {_COLUMNS} from pgstate.changes($1, $2, $3, $4, $5, $6) c"
    return await fetch(connection, sql, cursor, patterns, limit, upto, agent, min_trust, timeout=timeout)


async def changes_for(
    connection: Connection,
    cursor: str,
    agents: list[str],
    patterns: list[str],
    limit: int,
    expire: bool,
    *,
    timeout: float,
) -> Sequence[Row]:
    """Changes for several watches, then the bookmark; with `expire`, due expiries are written in the same statement."""
    sql = f"select {_COLUMNS} from pgstate.changes_for($1, $2, $3, $4) c"
    if expire:
        sql = sql.replace("select ", "select (select pgstate.expire()), ", 1)
    return await fetch(connection, sql, cursor, agents, patterns, limit, timeout=timeout)


async def subscribe(
    connection: Connection, agents: list[str], patterns: list[str], channel: str | None, *, timeout: float
) -> str:
    row = await fetch_row(
        connection, "select pgstate.subscribe($1, $2, $3) as channel", agents, patterns, channel, timeout=timeout
    )
    return str(row["channel"])


async def unsubscribe(connection: Connection, channel: str, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.unsubscribe($1)", channel, timeout=timeout)


async def horizon(connection: Connection, *, timeout: float) -> tuple[int, int]:
    """Oldest transaction under way, and the next to begin."""
    sql = (
        "select pg_catalog.pg_snapshot_xmin(s)::text::bigint as oldest, "
        "pg_catalog.pg_snapshot_xmax(s)::text::bigint as next "
        "from pg_catalog.pg_current_snapshot() s"
    )
    row = await fetch_row(connection, sql, timeout=timeout)
    return row["oldest"], row["next"]


async def wake(connection: Connection, keys: list[str], agent: str | None, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.wake($1, $2)", keys, agent, timeout=timeout)
