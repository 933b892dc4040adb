"""Threads and checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any, TypeAlias
from uuid import UUID

from pgstate._calls._run import Connection, fetch, fetch_row
from pgstate.types import Row

_ROW = (
    "key, ns, id, parent, metadata::text as metadata, run_id, header, whole, names, versions, types, data, size, "
    "created_at, writer, via"
)
_FULL = (
    f"status, {_ROW}, chunk_hashes, chunk_types, chunk_data, write_task_ids, write_task_paths, write_idxs, "
    "write_channels, write_types, write_data"
)
# names, types, data, versions, chunk_types, chunk_data, metadata, id, parent, ns, header, whole, expect_head, guard,
# ttl, run_id, token, may_begin
Save: TypeAlias = Sequence[Any]
_SAVED = "status, id, version, head, missing, watched"


async def save_checkpoint(
    connection: Connection,
    key: str,
    save: Save,
    lane: UUID | None,
    turn: int | None,
    lock_timeout: str | None,
    wake: bool | None,
    agent: str | None,
    *,
    timeout: float,
) -> Row:
    """Raises LockBusy when a lock was waited for longer than `lock_timeout`: then nothing was done."""
    sql = (
        f"select {_SAVED} from pgstate.save_checkpoint($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9, $10, $11, $12, "
        "$13, $14, $15, $16, $17, $18, may_begin => $19, lane => $20, turn => $21, lock_timeout => $22, wake => $23, "
        "agent => $24)"
    )
    return await fetch_row(connection, sql, key, *save, lane, turn, lock_timeout, wake, agent, timeout=timeout)


async def save_checkpoints(
    connection: Connection,
    saves: Sequence[tuple[str, Save]],
    lane: UUID | None,
    turn: int | None,
    lock_timeout: str | None,
    agent: str | None,
    *,
    timeout: float,
) -> Sequence[Row]:
    """`saves`: keys, and for each what `save_checkpoint` takes. Refused ones come back with a code and a message."""
    sql = (
        f"select {_SAVED}, code, message from pgstate.save_checkpoints(keys => $1, counts => $2, names => $3, "
        "types => $4, data => $5, versions => $6, chunk_counts => $7, chunk_types => $8, chunk_data => $9, "
        "metadatas => $10::text[]::jsonb[], ids => $11, parents => $12, namespaces => $13, headers => $14, "
        "wholes => $15, expect_heads => $16, guard_counts => $17, guards => $18, ttls => $19, run_ids => $20, "
        "tokens => $21, may_begins => $22, lane => $23, turn => $24, lock_timeout => $25, agent => $26, wake => null)"
    )
    names, types, data, versions, chunk_types, chunk_data, *columns = zip(*(save for _, save in saves), strict=True)
    metadata, id_, parent, ns, header, whole, expect_head, guard, ttl, run_id, token, may_begin = columns
    return await fetch(
        connection,
        sql,
        [key for key, _ in saves],
        [len(one) for one in names],
        _flat(names),
        _flat(types),
        _flat(data),
        _flat(one or [None] * len(all_) for one, all_ in zip(versions, names, strict=True)),
        [len(one or ()) for one in chunk_types],
        _flat(chunk_types),
        _flat(chunk_data),
        metadata,
        id_,
        parent,
        ns,
        header,
        whole,
        expect_head,
        [None if one is None else len(one) for one in guard],
        _flat(guard),
        ttl,
        run_id,
        token,
        may_begin,
        lane,
        turn,
        lock_timeout,
        agent,
        timeout=timeout,
    )


def _flat(lists: Iterable[Sequence[Any] | None]) -> list[Any]:
    return list(chain.from_iterable(one or () for one in lists))


async def put_writes(
    connection: Connection,
    key: str,
    checkpoint: str,
    task_id: str,
    idxs: list[int],
    channels: list[str],
    types: list[str],
    data: list[bytes],
    ns: str,
    task_path: str,
    replace: bool,
    agent: str | None,
    *,
    timeout: float,
) -> None:
    sql = "select pgstate.put_writes($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
    arguments = (key, checkpoint, task_id, idxs, channels, types, data, ns, task_path, replace, agent)
    await fetch(connection, sql, *arguments, timeout=timeout)


async def get_checkpoint(
    connection: Connection, key: str, id: str | None, ns: str, agent: str | None, *, timeout: float
) -> Row:
    sql = f"select {_FULL} from pgstate.get_checkpoint($1, $2, $3, $4)"
    return await fetch_row(connection, sql, key, id, ns, agent, timeout=timeout)


async def get_checkpoints(
    connection: Connection, key: str, ids: list[str], ns: str, agent: str | None, *, timeout: float
) -> Sequence[Row]:
    sql = f"select {_FULL} from pgstate.get_checkpoints($1, $2, $3, $4)"
    return await fetch(connection, sql, key, ids, ns, agent, timeout=timeout)


async def checkpoints(
    connection: Connection,
    pattern: str,
    ns: str | None,
    before: str | None,
    limit: int | None,
    filter: str | None,
    run_id: str | None,
    agent: str | None,
    after_key: str | None = None,
    after_ns: str | None = None,
    *,
    timeout: float,
) -> Sequence[Row]:
    sql = f"select {_ROW} from pgstate.checkpoints($1, $2, $3, $4, $5::text::jsonb, $6, $7, $8, $9)"
    arguments = (pattern, ns, before, limit, filter, run_id, after_key, after_ns, agent)
    return await fetch(connection, sql, *arguments, timeout=timeout)


async def checkpoint_parts(
    connection: Connection, key: str, ids: list[str], ns: str, agent: str | None, *, timeout: float
) -> Row:
    sql = (
        "select chunk_hashes, chunk_types, chunk_data, write_checkpoints, write_task_ids, write_channels, write_types, "
        "write_data from pgstate.checkpoint_parts($1, $2, $3, $4)"
    )
    return await fetch_row(connection, sql, key, ids, ns, agent, timeout=timeout)


async def channel_history(
    connection: Connection, key: str, channels: list[str], id: str | None, ns: str, agent: str | None, *, timeout: float
) -> Row:
    sql = (
        "select seed_channels, seed_types, seed_data, chunk_hashes, chunk_types, chunk_data, write_channels, "
        "write_task_ids, write_types, write_data from pgstate.channel_history($1, $2, $3, $4, $5)"
    )
    return await fetch_row(connection, sql, key, channels, id, ns, agent, timeout=timeout)


async def threads(
    connection: Connection, pattern: str, limit: int | None, after: str | None, agent: str | None, *, timeout: float
) -> Sequence[Row]:
    sql = (
        "select key, checkpoint, ns, checkpoints, bytes, version, writer, via, created_at, updated_at, expires_at, "
        "forked_from, forked_id from pgstate.threads($1, $2, $3, $4)"
    )
    return await fetch(connection, sql, pattern, limit, after, agent, timeout=timeout)


async def delete_thread(
    connection: Connection,
    key: str,
    token: int | None,
    lane: UUID | None,
    turn: int | None,
    agent: str | None,
    *,
    timeout: float,
) -> Row:
    sql = "select status, version from pgstate.delete_thread($1, $2, $3, $4, $5)"
    return await fetch_row(connection, sql, key, token, lane, turn, agent, timeout=timeout)


async def prune_thread(
    connection: Connection,
    key: str,
    keep: int,
    ns: str | None,
    token: int | None,
    lane: UUID | None,
    turn: int | None,
    agent: str | None,
    ids: list[str] | None,
    *,
    timeout: float,
) -> Row:
    sql = "select status, removed from pgstate.prune_thread($1, $2, $3, $4, $5, $6, $7, $8)"
    return await fetch_row(connection, sql, key, keep, ns, token, lane, turn, agent, ids, timeout=timeout)


async def delete_runs(
    connection: Connection,
    run_ids: list[str],
    lane: UUID | None,
    turn: int | None,
    agent: str | None,
    *,
    timeout: float,
) -> Row:
    sql = "select status, removed from pgstate.delete_runs($1, $2, $3, $4)"
    return await fetch_row(connection, sql, run_ids, lane, turn, agent, timeout=timeout)


async def fork_thread(
    connection: Connection,
    key: str,
    target: str,
    id: str | None,
    ns: str,
    history: bool,
    ttl: timedelta | None,
    lane: UUID | None,
    turn: int | None,
    agent: str | None,
    *,
    timeout: float,
) -> Row:
    sql = f"select {_SAVED} from pgstate.fork_thread($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    return await fetch_row(connection, sql, key, target, id, ns, history, ttl, lane, turn, agent, timeout=timeout)


async def rollback_thread(
    connection: Connection,
    key: str,
    id: str,
    ns: str,
    metadata: str | None,
    token: int | None,
    lane: UUID | None,
    turn: int | None,
    agent: str | None,
    *,
    timeout: float,
) -> Row:
    sql = f"select {_SAVED} from pgstate.rollback_thread($1, $2, $3, $4::text::jsonb, $5, $6, $7, $8)"
    return await fetch_row(connection, sql, key, id, ns, metadata, token, lane, turn, agent, timeout=timeout)


async def checkpoint_state(
    connection: Connection, key: str, id: str | None, ns: str, agent: str | None, *, timeout: float
) -> Sequence[Row]:
    sql = "select channel, type, version, value::text as value from pgstate.checkpoint_state($1, $2, $3, $4)"
    return await fetch(connection, sql, key, id, ns, agent, timeout=timeout)
