"""suspend_agent, resume_agent and quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pgstate._calls._run import Connection, fetch
from pgstate.types import Row


async def suspend_agent(connection: Connection, agent: str, *, timeout: float) -> Sequence[Row]:
    sql = "select pid, login, prepared, xact from pgstate.suspend_agent($1)"
    return await fetch(connection, sql, agent, timeout=timeout)


async def resume_agent(connection: Connection, agent: str, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.resume_agent($1)", agent, timeout=timeout)


async def quarantine(
    connection: Connection,
    agent: str,
    since: datetime | None,
    cursor: str | None,
    rollback: bool,
    force: bool,
    dry_run: bool,
    after: str | None,
    limit: int,
    *,
    timeout: float,
) -> Sequence[Row]:
    sql = (
        "select action, key, status, version, from_version, to_version, old_value::text as old, "
        "new_value::text as new, detail::text as detail from pgstate.quarantine($1, $2, $3, $4, $5, $6, $7, $8)"
    )
    return await fetch(connection, sql, agent, since, cursor, rollback, force, dry_run, after, limit, timeout=timeout)
