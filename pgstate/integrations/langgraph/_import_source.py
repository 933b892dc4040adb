"""The tables of langgraph-checkpoint-postgres, as threads are read from them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from pgstate import errors
from pgstate._address import open_connection
from pgstate._calls._run import translate
from pgstate._source import reach
from pgstate.types import Row

BATCH = 20  # checkpoints, each with all that it holds
_MOST = 32 << 20  # bytes of a batch of several: what is saved and read back takes seconds

_THREADS = """
select thread_id, count(*) as checkpoints from checkpoints where $1::text[] is null or thread_id = any ($1)
 group by 1 order by 1
"""
# what former versions do not have: task_path, of writes; what those that keep the latest only do not have: ids of
# checkpoints, and versions of blobs
_THERE = """
select exists (select from pg_attribute where attrelid = to_regclass('checkpoint_writes') and attname = 'task_path'),
       exists (select from pg_attribute where attrelid = to_regclass('checkpoints') and attname = 'checkpoint'),
       exists (select from pg_attribute where attrelid = to_regclass('checkpoints') and attname = 'checkpoint_id')
"""
_ALL = ("checkpoints", " and b.version = v.value")
_LATEST = ("(select *, checkpoint ->> 'id' as checkpoint_id, null::text as parent_checkpoint_id from checkpoints)", "")
_IDS = """
select checkpoint_ns, array_agg(checkpoint_id order by checkpoint_id) as ids,
       array_agg(parent_checkpoint_id order by checkpoint_id) as parents
  from {checkpoints} c where thread_id = $1
 group by 1 order by 1
"""
_SIZES = """
select c.checkpoint_id,
       octet_length(c.checkpoint::text) + octet_length(c.metadata::text)
       + coalesce((
           select sum(octet_length(b.blob))
             from jsonb_each_text(c.checkpoint -> 'channel_versions') v
             join checkpoint_blobs b on b.thread_id = c.thread_id and b.checkpoint_ns = c.checkpoint_ns
                                    and b.channel = v.key{versioned}), 0)
       + coalesce((
           select sum(octet_length(w.blob))
             from checkpoint_writes w
            where w.thread_id = c.thread_id and w.checkpoint_ns = c.checkpoint_ns
              and w.checkpoint_id = c.checkpoint_id), 0) as size
  from {checkpoints} c
 where c.thread_id = $1 and c.checkpoint_ns = $2 and c.checkpoint_id = any ($3)
"""
_CHECKPOINTS = """
select c.checkpoint_id, c.checkpoint::text as checkpoint, c.metadata::text as metadata,
       b.channels, b.types, b.blobs
  from {checkpoints} c
  cross join lateral (
    select array_agg(b.channel) as channels, array_agg(b.type) as types, array_agg(b.blob) as blobs
      from jsonb_each_text(c.checkpoint -> 'channel_versions') v
      join checkpoint_blobs b on b.thread_id = c.thread_id and b.checkpoint_ns = c.checkpoint_ns
                             and b.channel = v.key{versioned}
     where b.type <> 'empty') b
 where c.thread_id = $1 and c.checkpoint_ns = $2 and c.checkpoint_id = any ($3)
 order by array_position($3, c.checkpoint_id)
"""
_WRITES = """
select checkpoint_id, task_id, {path} as task_path, array_agg(idx order by idx) as idxs,
       array_agg(channel order by idx) as channels, array_agg(type order by idx) as types,
       array_agg(blob order by idx) as blobs
  from checkpoint_writes
 where thread_id = $1 and checkpoint_ns = $2 and checkpoint_id = any ($3)
 group by 1, 2, 3
"""


@asynccontextmanager
async def opened(source: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection to LangGraph's database, through a pooler too. Raises Unreachable, AccessDenied, and InvalidArgument
    when its tables are others."""
    connection = await reach(open_connection(source, statement_cache_size=0), "LangGraph's database")
    try:
        yield connection
    except asyncpg.InsufficientPrivilegeError as error:
        raise errors.AccessDenied(f"LangGraph's database: {error}") from error
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise errors.InvalidArgument(f"LangGraph's database is not as its saver and store make it: {error}") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        # the last but one is what asyncpg has for a connection that went between two statements
        raise translate(error) from error
    finally:
        await connection.close()


class Threads:
    """What is read of threads, in a database that was `opened`; `all` comes first, which finds out how it is made."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._connection = connection
        self.shallow = False  # kept by a saver that has the latest checkpoint only
        self._ids = self._sizes = self._checkpoints = self._writes = ""

    async def all(self, thread_ids: Sequence[str] | None) -> Sequence[Row]:
        """Threads, each with how many checkpoints it has, all unless some are named. Raises InvalidArgument when there
        are no checkpoints of LangGraph."""
        paths, there, named = await self._connection.fetchrow(_THERE)
        self.shallow = there and not named
        checkpoints, versioned = _LATEST if self.shallow else _ALL
        self._ids, self._sizes, self._checkpoints = (
            sql.format(checkpoints=checkpoints, versioned=versioned) for sql in (_IDS, _SIZES, _CHECKPOINTS)
        )
        self._writes = _WRITES.format(path="task_path" if paths else "''")
        try:
            asked = None if thread_ids is None else list(thread_ids)
            threads: Sequence[Row] = await self._connection.fetch(_THREADS, asked)
            return threads
        except asyncpg.UndefinedTableError as error:
            if thread_ids is None and await self._connection.fetchval("select to_regclass('store') is not null"):
                # the store alone was used
                return []
            raise errors.InvalidArgument(
                f"no checkpoints of LangGraph there: {error}. Of a schema that is not in the login's search_path it is "
                "told by options=-csearch_path%3Dname in the address"
            ) from error

    async def spaces(self, thread_id: str) -> dict[str, dict[str, str]]:
        """The namespaces of a thread, each with the parents of its checkpoints, in the order to bring them over in."""
        return {
            row["checkpoint_ns"]: _in_order(dict(zip(row["ids"], row["parents"], strict=True)))
            for row in await self._connection.fetch(self._ids, thread_id)
        }

    async def batches(self, thread_id: str, ns: str, ids: Sequence[str]) -> AsyncIterator[Sequence[str]]:
        """As many checkpoints at once as can be, though they are large."""
        for start in range(0, len(ids), BATCH):
            batch: list[str] = []
            total = 0
            some = ids[start : start + BATCH]
            rows = await self._connection.fetch(self._sizes, thread_id, ns, some)
            sizes = {row["checkpoint_id"]: row["size"] for row in rows}
            for id_ in some:
                total += sizes.get(id_, 0)
                if batch and total > _MOST:
                    yield batch
                    batch, total = [], sizes.get(id_, 0)
                batch.append(id_)
            yield batch

    async def checkpoints(self, thread_id: str, ns: str, ids: Sequence[str]) -> Sequence[Row]:
        """Checkpoints with the values of their channels, in the order of `ids`."""
        rows: Sequence[Row] = await self._connection.fetch(self._checkpoints, thread_id, ns, ids)
        return rows

    async def writes(self, thread_id: str, ns: str, ids: Sequence[str]) -> Sequence[Row]:
        """What tasks wrote after checkpoints, a row for each task."""
        rows: Sequence[Row] = await self._connection.fetch(self._writes, thread_id, ns, ids)
        return rows


def _in_order(parents: Mapping[str, str | None]) -> dict[str, str]:
    """The parents of checkpoints, which are in the order of their ids, but none before its parent: one that was made
    where the clock was behind is lower. Without a parent that is there it has none: it is not to be gone on from what
    was deleted."""
    order: dict[str, str] = {}
    for id_ in parents:
        line: dict[str, None] = {}
        above: str | None = id_
        while above is not None and above in parents and above not in order and above not in line:
            line[above] = None
            above = parents[above]
        for one in reversed(line):
            parent = parents[one]
            order[one] = parent if parent is not None and parent in order else ""
    return order
