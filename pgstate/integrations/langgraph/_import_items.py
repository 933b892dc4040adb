"""Items of the store of langgraph-checkpoint-postgres, brought over with the time that they still have to live. What is
here already stays as it is, and vectors are made anew, by the store's own function."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
from langgraph.store.base import InvalidNamespaceError

from pgstate import State, errors, ops
from pgstate.integrations.langgraph._import import PATIENCE, Imported
from pgstate.integrations.langgraph._import_source import opened
from pgstate.integrations.langgraph._names import Names

_PAGE = 500
_MOST = 8 << 20  # characters of values that are written and read back at once
_THERE = """
select exists (select from pg_attribute where attrelid = to_regclass('store') and attname = 'prefix'),
       exists (select from pg_attribute where attrelid = to_regclass('store') and attname = 'expires_at')
"""
# before it had times to live it had no column for them
_ITEMS = """
select prefix, key, value::text as value, {left} as lives
  from store
 where (prefix, key) > ($1, $2) and ({left} is null or {left} > interval '0')
 order by prefix, key limit $3
"""


async def import_items(
    source: str,
    state: State,
    done: Imported,
    *,
    prefix: str = "store",
    begin: Callable[[int], object] = lambda total: None,
    step: Callable[[int], object] = lambda count: None,
) -> None:
    """Brings items over, under a prefix, and reads them back; counts them in `done`. Without a store there it does
    nothing. Raises AccessDenied, Unreachable."""
    state = state.with_timeout(max(state._timeout, PATIENCE))
    async with opened(source) as connection:
        there, expiring = await connection.fetchrow(_THERE)
        if not there:
            return
        begin(await connection.fetchval("select count(*) from store"))
        sql = _ITEMS.format(left="expires_at - now()" if expiring else "null::interval")
        place = ("", "")
        while rows := await connection.fetch(sql, *place, _PAGE):
            for some in _parts(rows):
                await _bring(state, Names(prefix), some, done)
                step(len(some))
            place = (rows[-1]["prefix"], rows[-1]["key"])


def _parts(rows: Sequence[asyncpg.Record]) -> Iterator[Sequence[asyncpg.Record]]:
    part: list[asyncpg.Record] = []
    size = 0
    for row in rows:
        size += len(row["value"])
        if part and size > _MOST:
            yield part
            part, size = [], len(row["value"])
        part.append(row)
    yield part


async def _bring(state: State, names: Names, rows: Sequence[asyncpg.Record], done: Imported) -> None:
    # what was meant by a dot there, is a namespace's next label
    items: dict[str, tuple[Any, timedelta | None]] = {}
    for row in rows:
        try:
            items[names.key(row["prefix"].split("."), row["key"])] = (json.loads(row["value"]), row["lives"])
        except (InvalidNamespaceError, errors.InvalidKey, ValueError) as error:
            done.left.append(f"item {row['key']!r} of {row['prefix']!r}: {error}")
    results = await state.put_many(
        [ops.put(key, value, expect=0, **_span(lives)) for key, (value, lives) in items.items()]
    )
    brought = [result.key for result in results if result.status == "ok"]
    for result in results:
        if result.status == "denied":
            raise errors.AccessDenied(result.message or f"access denied: {result.key}")
        if result.status not in ("ok", "conflict"):
            done.left.append(f"item {result.key}: {result.message or result.status}")
    for key, entry in zip(brought, await state.get_many(brought), strict=True):
        # one may have expired since
        if (entry is None and items[key][1] is None) or (entry is not None and entry.value != items[key][0]):
            done.left.append(f"item {key}: it is not what it was")
    done.items += len(brought)
    done.present += sum(result.status == "conflict" for result in results)


def _span(lives: timedelta | None) -> dict[str, Any]:
    return {} if lives is None else {"ttl": lives}
