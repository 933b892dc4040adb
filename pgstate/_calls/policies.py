"""Policies, reducers, retention."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pgstate._calls._run import Connection, fetch, fetch_row
from pgstate.types import Row


async def set_policy(
    connection: Connection,
    subtree: str,
    reducer: str | None,
    ttl: timedelta | None,
    keep: str | None,
    value_limit: int | None,
    schema: str | None,
    agent: str | None,
    max_attempts: int | None = None,
    backoff: timedelta | None = None,
    backoff_limit: timedelta | None = None,
    dead_letter: str | None = None,
    claimed_writes: bool | None = None,
    guard: str | None = None,
    trust: str | None = None,
    *,
    timeout: float,
) -> None:
    sql = "select pgstate.set_policy($1, $2, $3, $4, $5, $6::text::jsonb, $7, $8, $9, $10, $11, $12, $13, $14)"
    last = (max_attempts, backoff, backoff_limit, dead_letter, claimed_writes, guard, trust)
    await fetch(connection, sql, subtree, reducer, ttl, keep, value_limit, schema, agent, *last, timeout=timeout)


async def drop_policy(
    connection: Connection, subtree: str, settings: list[str] | None, agent: str | None, *, timeout: float
) -> None:
    await fetch(connection, "select pgstate.drop_policy($1, $2, $3)", subtree, settings, agent, timeout=timeout)


async def policies(connection: Connection, agent: str | None, *, timeout: float) -> Sequence[Row]:
    sql = (
        "select subtree, reducer, ttl, keep, value_limit, schema::text as schema, set_by, set_at, "
        "max_attempts, backoff, backoff_limit, dead_letter, claimed_writes, guard, trust "
        "from pgstate.policies($1)"
    )
    return await fetch(connection, sql, agent, timeout=timeout)


async def explain_policy(connection: Connection, key: str, agent: str | None, *, timeout: float) -> Sequence[Row]:
    sql = "select setting, value::text as value, subtree from pgstate.explain_policy($1, $2)"
    return await fetch(connection, sql, key, agent, timeout=timeout)


async def register_reducer(
    connection: Connection, name: str, function: str, agent: str | None, *, timeout: float
) -> None:
    # null, which is refused, for what is no function
    sql = "select pgstate.register_reducer($1, to_regprocedure($2), $3)"
    await fetch(connection, sql, name, function, agent, timeout=timeout)


async def drop_reducer(connection: Connection, name: str, agent: str | None, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.drop_reducer($1, $2)", name, agent, timeout=timeout)


async def maintain(connection: Connection, limit: int, *, timeout: float) -> Row:
    return await fetch_row(connection, "select status, removed, more from pgstate.maintain($1)", limit, timeout=timeout)
