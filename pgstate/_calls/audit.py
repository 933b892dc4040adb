"""The audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pgstate._calls._run import Connection, fetch, fetch_row
from pgstate.types import Row


async def audit(
    connection: Connection,
    pattern: str,
    events: list[str] | None,
    limit: int | None,
    before: int | None,
    agent: str | None,
    *,
    timeout: float,
) -> Sequence[Row]:
    sql = (
        "select id, at, event, agent, via, key, detail::text as detail "
        "from pgstate.audit($1, $2, $3, $4, $5) order by id desc"
    )
    return await fetch(connection, sql, pattern, events, limit, before, agent, timeout=timeout)


async def report_denial(
    connection: Connection, asked: str, key: str | None, agent: str | None, *, timeout: float
) -> None:
    await fetch(connection, "select pgstate.report_denial($1, $2, $3)", asked, key, agent, timeout=timeout)


async def set_audit(connection: Connection, keep: timedelta | None, agent: str | None, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.set_audit($1, $2)", keep, agent, timeout=timeout)


async def set_audit_chain(
    connection: Connection, subtree: str, active: bool, agent: str | None, *, timeout: float
) -> None:
    await fetch(connection, "select pgstate.set_audit_chain($1, $2, $3)", subtree, active, agent, timeout=timeout)


async def verify_audit(
    connection: Connection, subtree: str, noted: str | None, agent: str | None, *, timeout: float
) -> Row:
    sql = "select subtree, sound, links, head, fault, active, waiting from pgstate.verify_audit($1, $2, $3)"
    return await fetch_row(connection, sql, subtree, noted, agent, timeout=timeout)
