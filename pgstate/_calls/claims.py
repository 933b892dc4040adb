"""Claims."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from pgstate._calls._run import Connection, fetch, fetch_row
from pgstate._guard import scrub
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


async def claim_many(
    connection: Connection,
    pattern: str,
    limit: int,
    lease: timedelta,
    lane: UUID | None,
    turn: int | None,
    agent: str | None,
    min_trust: str | None = None,
    *,
    timeout: float,
) -> Sequence[Row]:
    sql = f"select {_COLUMNS} from pgstate.claim_many($1, $2, $3, $4, $5, $6, min_trust => $7)"
    return await fetch(connection, sql, pattern, limit, lease, lane, turn, agent, min_trust, timeout=timeout)


async def renew(
    connection: Connection, key: str, token: int, lease: timedelta, agent: str | None, *, timeout: float
) -> Row:
    sql = f"select {_COLUMNS} from pgstate.renew($1, $2, $3, $4)"
    return await fetch_row(connection, sql, key, token, lease, agent, timeout=timeout)


async def release(connection: Connection, key: str, token: int, agent: str | None, *, timeout: float) -> Row:
    sql = f"select {_COLUMNS} from pgstate.release($1, $2, $3)"
    return await fetch_row(connection, sql, key, token, agent, timeout=timeout)


async def release_by_force(
    connection: Connection, key: str, lane: UUID | None, turn: int | None, agent: str | None, *, timeout: float
) -> Row:
    sql = f"select {_COLUMNS} from pgstate.release($1, agent => $2, force => true, lane => $3, turn => $4)"
    return await fetch_row(connection, sql, key, agent, lane, turn, timeout=timeout)


_OUTCOME = "status, key, lease_until, attempts, retry_in, moved_to, code, message"

# Calls that share a statement must not wait together for one key that somebody keeps locked. A function that comes
# after this in FROM runs after it once an argument of its names s.set; null leaves what the transaction has.
_LOCK_TIMEOUT = """
  (select set_config('lock_timeout', coalesce({0}::text, current_setting('lock_timeout')), true) is not null as set
   offset 0) s
  cross join lateral"""


async def renew_many(
    connection: Connection,
    keys: list[str],
    tokens: list[int],
    leases: list[timedelta],
    lock_timeout: str | None,
    agent: str | None,
    *,
    timeout: float,
) -> Sequence[Row]:
    """Raises LockBusy when a lock was waited for longer than `lock_timeout`: then nothing was done."""
    sql = (
        f"select {_OUTCOME} from {_LOCK_TIMEOUT.format('$5')} "
        "pgstate.renew_many($1, $2, $3, case when s.set then $4::text end)"
    )
    return await fetch(connection, sql, keys, tokens, leases, agent, lock_timeout, timeout=timeout)


async def release_many(
    connection: Connection, keys: list[str], tokens: list[int], agent: str | None, *, timeout: float
) -> Sequence[Row]:
    sql = f"select {_OUTCOME} from pgstate.release_many($1, $2, $3)"
    return await fetch(connection, sql, keys, tokens, agent, timeout=timeout)


async def complete_many(
    connection: Connection,
    columns: Sequence[Sequence[Any] | None],
    lane: UUID | None,
    turn: int | None,
    lock_timeout: str | None,
    agent: str | None,
    *,
    timeout: float,
) -> Sequence[Row]:
    """`columns`: keys, tokens, results, move_tos, op_ids; one without anything in it may be None.
    `lock_timeout` as in `renew_many`."""
    sql = (
        "select status, version, value::text as value, code, message, watched "
        f"from {_LOCK_TIMEOUT.format('$9')} "
        "pgstate.complete_many($1, $2, $3::text[]::jsonb[], $4, $5, $6, $7, $6::uuid is null, "
        "case when s.set then $8::text end)"
    )
    return await fetch(connection, sql, *columns[:5], lane, turn, agent, lock_timeout, timeout=timeout)


async def fail_many(
    connection: Connection,
    columns: Sequence[Sequence[Any] | None],
    lane: UUID | None,
    turn: int | None,
    lock_timeout: str | None,
    agent: str | None,
    *,
    timeout: float,
) -> Sequence[Row]:
    """`columns`: keys, tokens, errors, retry_ins, op_ids; one without anything in it may be None.
    `lock_timeout` as in `renew_many`."""
    sql = (
        f"select {_OUTCOME} from {_LOCK_TIMEOUT.format('$9')} "
        "pgstate.fail_many($1, $2, $3, $4, $5, $6, $7, case when s.set then $8::text end)"
    )
    keys, tokens, said, retry_ins, op_ids = columns[:5]
    # what a credential that was resolved had to do with it is told by its handle
    said = said and [None if one is None else scrub(one) for one in said]
    args = (keys, tokens, said, retry_ins, op_ids, lane, turn, agent, lock_timeout)
    return await fetch(connection, sql, *args, timeout=timeout)


async def tasks(
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
        "select key, state, priority, holder, lease_until, lease_left, attempts, error, next_try, version, created_at, "
        "updated_at from pgstate.tasks($1, $2, $3, $4, $5)"
    )
    return await fetch(connection, sql, pattern, limit, after, states, agent, timeout=timeout)


async def claim_log(
    connection: Connection, pattern: str, limit: int | None, agent: str | None, *, timeout: float
) -> Sequence[Row]:
    sql = "select key, at, token, holder, lease_until, attempts, released_by, via from pgstate.claim_log($1, $2, $3)"
    return await fetch(connection, sql, pattern, limit, agent, timeout=timeout)


async def list_claims(connection: Connection, pattern: str, agent: str | None, *, timeout: float) -> Sequence[Row]:
    sql = "select key, holder, lease_until, lease_left, attempts, claimed_at from pgstate.list_claims($1, $2)"
    return await fetch(connection, sql, pattern, agent, timeout=timeout)
