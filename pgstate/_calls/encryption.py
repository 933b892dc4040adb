"""Sealed payloads, and putting others in their place."""

from __future__ import annotations

from collections.abc import Sequence

from pgstate._calls._run import Connection, fetch, fetch_row
from pgstate.types import Row


async def sealed_parts(connection: Connection, agent: str | None, *, timeout: float) -> Sequence[Row]:
    return await fetch(connection, "select part, blocks from pgstate.sealed_parts($1)", agent, timeout=timeout)


async def sealed_keys(connection: Connection, part: str, agent: str | None, *, timeout: float) -> Sequence[Row]:
    sql = "select id, payloads from pgstate.sealed_keys($1, $2)"
    return await fetch(connection, sql, part, agent, timeout=timeout)


async def sealed_data(
    connection: Connection,
    part: str,
    first: int,
    blocks: int,
    current: str,
    after: str | None,
    agent: str | None,
    *,
    timeout: float,
) -> Sequence[Row]:
    sql = "select place, field, key, type, data, more, name from pgstate.sealed_data($1, $2, $3, $4, $5, $6)"
    return await fetch(connection, sql, part, first, blocks, current, after, agent, timeout=timeout)


async def rekey_data(
    connection: Connection,
    part: str,
    places: list[str],
    fields: list[int],
    digests: list[bytes],
    data: list[bytes],
    agent: str | None,
    *,
    timeout: float,
) -> int:
    sql = "select pgstate.rekey_data($1, $2, $3, $4, $5, $6) as done"
    row = await fetch_row(connection, sql, part, places, fields, digests, data, agent, timeout=timeout)
    done: int = row["done"]
    return done


async def rekey_refs(
    connection: Connection, depth: int | None, first: int, blocks: int, agent: str | None, *, timeout: float
) -> int | None:
    sql = "select pgstate.rekey_refs($1, $2, $3, $4) as done"
    row = await fetch_row(connection, sql, depth, first, blocks, agent, timeout=timeout)
    done: int | None = row["done"]
    return done


async def rekey_collect(connection: Connection, agent: str | None, *, timeout: float) -> bool:
    row = await fetch_row(connection, "select pgstate.rekey_collect($1) as more", agent, timeout=timeout)
    more: bool = row["more"]
    return more
