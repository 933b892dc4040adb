"""Durable runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pgstate._calls._run import Connection, fetch, fetch_row
from pgstate._calls.claims import _LOCK_TIMEOUT
from pgstate.types import Row

_FULL = (
    "status, key, token, lease_until, retry_in, attempts, created, state, name, code, seed, at, begun_at, deadline, "
    "cancelled, input_type, input, result_type, result, steps, positions, mains, kinds, states, types, data, due_ats"
)


async def start_run(
    connection: Connection,
    key: str,
    lease: timedelta | None,
    name: str | None,
    input_type: str | None,
    input: bytes | None,
    code: str | None,
    priority: int | None,
    ready_at: datetime | None,
    run_timeout: timedelta | None,
    ttl: timedelta | None,
    parent: str | None,
    lane: UUID | None,
    turn: int | None,
    agent: str | None,
    *,
    timeout: float,
) -> Row:
    sql = f"select {_FULL} from pgstate.start_run($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
    return await fetch_row(
        connection,
        sql,
        key,
        lease,
        name,
        input_type,
        input,
        code,
        priority,
        ready_at,
        run_timeout,
        ttl,
        parent,
        lane,
        turn,
        agent,
        timeout=timeout,
    )


async def take_runs(
    connection: Connection,
    names: list[str],
    limit: int,
    lease: timedelta,
    pattern: str,
    codes: list[str | None],
    lane: UUID | None,
    turn: int | None,
    agent: str | None,
    *,
    timeout: float,
) -> Sequence[Row]:
    sql = f"select {_FULL} from pgstate.take_runs($1, $2, $3, $4, $5, $6, $7, $8)"
    return await fetch(connection, sql, names, limit, lease, pattern, codes, lane, turn, agent, timeout=timeout)


async def finish_steps(
    connection: Connection,
    columns: list[Sequence[Any] | None],
    lane: UUID | None,
    turn: int | None,
    lock_timeout: str | None,
    agent: str | None,
    *,
    timeout: float,
) -> Sequence[Row]:
    """`columns`: keys, tokens, steps, names, kinds, positions, mains, states, types, data, attempts, elapsed, due_ats;
    the last may be None. Without a lane the database wakes watchers. Raises LockBusy when a lock was waited for longer
    than `lock_timeout`: then nothing was done."""
    sql = (
        "select status, version, cancelled, code, message, watched "
        f"from {_LOCK_TIMEOUT.format('$17')} "
        "pgstate.finish_steps($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, "
        "case when $14::uuid is null then true end, case when s.set then $16::text end)"
    )
    return await fetch(connection, sql, *columns, lane, turn, agent, lock_timeout, timeout=timeout)


async def end_run(
    connection: Connection,
    key: str,
    token: int,
    state: str,
    type: str | None,
    data: bytes | None,
    ready_in: timedelta | None,
    lane: UUID | None,
    turn: int | None,
    agent: str | None,
    waits_for: list[str] | None,
    *,
    timeout: float,
) -> Row:
    """`waits_for`: None unless the run is to sleep."""
    sql = "select status, version from pgstate.end_run($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
    arguments = (key, token, state, type, data, ready_in, lane, turn, agent, waits_for)
    return await fetch_row(connection, sql, *arguments, timeout=timeout)


async def signal_run(
    connection: Connection,
    key: str,
    name: str,
    type: str | None,
    data: bytes | None,
    lane: UUID | None,
    turn: int | None,
    agent: str | None,
    *,
    timeout: float,
) -> Row:
    sql = "select status, version from pgstate.signal_run($1, $2, $3, $4, $5, $6, $7)"
    return await fetch_row(connection, sql, key, name, type, data, lane, turn, agent, timeout=timeout)


async def take_signal(
    connection: Connection,
    key: str,
    token: int,
    step: str,
    name: str,
    position: int,
    main: bool,
    patience: timedelta | None,
    lane: UUID | None,
    turn: int | None,
    agent: str | None,
    *,
    timeout: float,
) -> Row:
    sql = (
        "select status, type, data, due_at, cancelled, version "
        "from pgstate.take_signal($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
    )
    arguments = (key, token, step, name, position, main, patience, lane, turn, agent)
    return await fetch_row(connection, sql, *arguments, timeout=timeout)


async def cancel_run(
    connection: Connection, key: str, lane: UUID | None, turn: int | None, agent: str | None, *, timeout: float
) -> Row:
    sql = "select status, version from pgstate.cancel_run($1, $2, $3, $4)"
    return await fetch_row(connection, sql, key, lane, turn, agent, timeout=timeout)


async def cancelled_runs(connection: Connection, keys: list[str], agent: str | None, *, timeout: float) -> list[str]:
    rows = await fetch(
        connection, "select r as key from pgstate.cancelled_runs($1, $2) r", keys, agent, timeout=timeout
    )
    return [row["key"] for row in rows]


async def retry_run(
    connection: Connection, key: str, lane: UUID | None, turn: int | None, agent: str | None, *, timeout: float
) -> Row:
    sql = "select status, version from pgstate.retry_run($1, $2, $3, $4)"
    return await fetch_row(connection, sql, key, lane, turn, agent, timeout=timeout)


async def fork_run(
    connection: Connection,
    key: str,
    target: str,
    from_step: str | None,
    lane: UUID | None,
    turn: int | None,
    agent: str | None,
    *,
    timeout: float,
) -> Row:
    sql = "select status, version from pgstate.fork_run($1, $2, $3, $4, $5, $6)"
    return await fetch_row(connection, sql, key, target, from_step, lane, turn, agent, timeout=timeout)


async def delete_run(
    connection: Connection,
    key: str,
    token: int | None,
    lane: UUID | None,
    turn: int | None,
    agent: str | None,
    *,
    timeout: float,
) -> Row:
    sql = "select status, version from pgstate.delete_run($1, $2, $3, $4, $5)"
    return await fetch_row(connection, sql, key, token, lane, turn, agent, timeout=timeout)


async def runs(
    connection: Connection,
    pattern: str,
    limit: int | None,
    after: str | None,
    states: list[str] | None,
    agent: str | None,
    *,
    timeout: float,
) -> Sequence[Row]:
    sql = (
        "select key, name, state, step, steps, holder, lease_until, attempts, priority, ready_at, deadline, error, "
        "result::text as result, input::text as input, code, parent, forked_from, forked_step, version, created_at, "
        "updated_at, ended_at from pgstate.runs($1, $2, $3, $4, $5)"
    )
    return await fetch(connection, sql, pattern, limit, after, states, agent, timeout=timeout)


async def run_steps(connection: Connection, key: str, agent: str | None, *, timeout: float) -> Sequence[Row]:
    sql = (
        "select step, name, kind, state, position, result::text as result, error, attempts, started_at, finished_at, "
        "due_at, token from pgstate.run_steps($1, $2)"
    )
    return await fetch(connection, sql, key, agent, timeout=timeout)
