"""search, and what is indexed for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pgstate._calls._run import Connection, fetch
from pgstate.types import Row

_SEARCH = """
select key, value::text as value, version, kind, writer, via, created_at, updated_at, expires_at, score,
       text_rank, distance, after
  from pgstate.search($1, $2, $3::text::jsonb, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""


async def search(
    connection: Connection,
    pattern: str,
    query: str | None,
    filter: str | None,
    limit: int,
    after: str | None,
    mode: str | None,
    vector: list[float] | None,
    vectors: str | None,
    model: str | None,
    agent: str | None,
    offset: int,
    order: str | None,
    *,
    timeout: float,
) -> Sequence[Row]:
    args = (pattern, query, filter, limit, after, mode, vector, vectors, model, agent, offset, order)
    return await fetch(connection, _SEARCH, *args, timeout=timeout)


async def set_search(
    connection: Connection,
    subtree: str,
    fields: list[str],
    config: str,
    vectors: str | None,
    vector_fields: list[str] | None,
    agent: str | None,
    *,
    timeout: float,
) -> None:
    sql = "select pgstate.set_search($1, $2, $3, $4, $5, $6)"
    await fetch(connection, sql, subtree, fields, config, vectors, vector_fields, agent, timeout=timeout)


async def drop_search(connection: Connection, subtree: str, agent: str | None, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.drop_search($1, $2)", subtree, agent, timeout=timeout)


async def searches(connection: Connection, agent: str | None, *, timeout: float) -> Sequence[Row]:
    sql = "select subtree, fields, config, vectors, vector_fields, ready, set_by, set_at from pgstate.searches($1)"
    return await fetch(connection, sql, agent, timeout=timeout)


async def create_vectors(
    connection: Connection,
    name: str,
    dims: int,
    model: str,
    distance: str,
    method: str,
    type: str | None,
    options: str | None,
    agent: str | None,
    *,
    timeout: float,
) -> None:
    sql = "select pgstate.create_vectors($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8)"
    await fetch(connection, sql, name, dims, model, distance, method, type, options, agent, timeout=timeout)


async def drop_vectors(connection: Connection, name: str, agent: str | None, *, timeout: float) -> None:
    await fetch(connection, "select pgstate.drop_vectors($1, $2)", name, agent, timeout=timeout)


async def vectors(connection: Connection, agent: str | None, *, timeout: float) -> Sequence[Row]:
    sql = "select name, model, dims, distance, method, type, created_by, created_at from pgstate.vectors($1)"
    return await fetch(connection, sql, agent, timeout=timeout)


async def unembedded(
    connection: Connection, pattern: str, limit: int, after: str | None, agent: str | None, *, timeout: float
) -> Sequence[Row]:
    sql = "select key, version, digest, vectors, model, dims, texts from pgstate.unembedded($1, $2, $3, $4)"
    return await fetch(connection, sql, pattern, limit, after, agent, timeout=timeout)


async def set_vectors(
    connection: Connection,
    keys: list[str],
    digests: list[str],
    chunks: list[int],
    vectors: list[list[float]],
    model: str,
    agent: str | None,
    *,
    timeout: float,
) -> Sequence[Row]:
    sql = "select key, status from pgstate.set_vectors($1, $2, $3, $4, $5, $6)"
    return await fetch(connection, sql, keys, digests, chunks, vectors, model, agent, timeout=timeout)


_WRITE_EMBEDDED = """
select status, version, value::text as value, code, message, watched
  from pgstate.write_embedded($1, $2, $3::text[]::jsonb[], $4, $5, $6, $7, $8, lane => $9, turn => $10,
                              wake => $9::uuid is null, lock_timeout => $11, agent => $12)
"""


async def write_embedded(
    connection: Connection,
    columns: Sequence[Sequence[Any] | None],
    owners: list[int],
    vectors: list[list[float]],
    model: str,
    lane: UUID | None,
    turn: int | None,
    lock_timeout: str | None,
    agent: str | None,
    *,
    timeout: float,
) -> Sequence[Row]:
    """`columns` are those of `values.write_many`, of which op, key, value, expect and ttl count."""
    args = (*columns[:4], columns[5], owners, vectors, model, lane, turn, lock_timeout, agent)
    return await fetch(connection, _WRITE_EMBEDDED, *args, timeout=timeout)
