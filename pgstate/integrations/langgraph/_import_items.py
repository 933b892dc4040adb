"""Items of the store of langgraph-checkpoint-postgres, brought over with the time that they still have to live. What is
here already stays as it is, unless it was changed there later. Vectors come along where they are of the model that the
store here is set up with; else an item gets some when it is written again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import asyncpg
from langgraph.store.base import InvalidNamespaceError

from pgstate import Entry, Result, State, errors, ops
from pgstate._calls.values import touch
from pgstate.integrations.langgraph._import import OF_ONE, PATIENCE, Imported
from pgstate.integrations.langgraph._import_source import opened
from pgstate.integrations.langgraph._names import Names

_PAGE = 500
_MOST = 8 << 20  # characters of values that are written and read back at once
_THERE = """
select exists (select from pg_attribute where attrelid = to_regclass('store') and attname = 'prefix'),
       exists (select from pg_attribute where attrelid = to_regclass('store') and attname = 'expires_at'),
       to_regclass('store_vectors') is not null
"""
# before it had times to live it had no column for them
_ITEMS = """
select s.prefix, s.key, s.value::text as value, {left} as lives, {span} as span, s.updated_at, {vectors} as vectors
  from store s
 where (s.prefix, s.key) > ($1, $2) and ({left} is null or {left} > interval '0')
 order by s.prefix, s.key limit $3
"""
# older ones are of a former value: a put there leaves those that it gives no others
_VECTORS = """
(select array_agg(v.embedding::real[] order by v.field_name)
   from store_vectors v
  where v.prefix = s.prefix and v.key = s.key and v.embedding is not null and v.updated_at >= s.updated_at)
"""


class _Item(NamedTuple):
    value: Any
    lives: timedelta | None
    ttl: timedelta | None  # with which it lives on when it is read
    updated_at: datetime | None
    vectors: list[list[float]]


async def import_items(
    source: str,
    state: State,
    done: Imported,
    *,
    prefix: str = "store",
    vectors: bool = False,
    begin: Callable[[int], object] = lambda total: None,
    step: Callable[[int], object] = lambda count: None,
) -> bool:
    """Brings items over, under a prefix, and reads them back; counts them in `done`. Without a store there it does
    nothing. With `vectors` these come along, of items that are here already too; returns whether there are some that
    do not. Raises InvalidArgument where no vector index is for what is under the prefix, AccessDenied, Unreachable."""
    state = state.with_timeout(max(state._timeout, PATIENCE))
    async with opened(source) as connection:
        there, expiring, embedded = await connection.fetchrow(_THERE)
        if not there:
            return False
        model = await _model(connection, state, Names(prefix)) if vectors and embedded else None
        begin(await connection.fetchval("select count(*) from store"))
        sql = _ITEMS.format(
            left="s.expires_at - now()" if expiring else "null::interval",
            span="s.ttl_minutes * interval '1 min'" if expiring else "null::interval",
            vectors=_VECTORS if model is not None else "null::real[]",
        )
        place = ("", "")
        while rows := await connection.fetch(sql, *place, _PAGE):
            for some in _parts(rows):
                await _bring(state, Names(prefix), some, model, done)
                step(len(some))
            place = (rows[-1]["prefix"], rows[-1]["key"])
        left = embedded and model is None and await connection.fetchval("select exists (select from store_vectors)")
        return bool(left)


async def _model(connection: asyncpg.Connection[Any], state: State, names: Names) -> str | None:
    """Of the vectors that writers give to what is under a prefix; None if there are none to bring."""
    dims = await connection.fetchval("select cardinality(embedding::real[]) from store_vectors limit 1")
    if dims is None:
        return None
    subtree = f"{names.prefix}/**"
    given = {rule.subtree: rule.vectors for rule in await state.searches() if rule.vector_fields == []}
    for index in await state.vectors():
        if index.name == given.get(subtree) and index.dims == dims:
            return index.model
    raise errors.InvalidArgument(
        f"nothing is found by vectors of {dims} dimensions under {subtree}: PgStateStore(…, index=…).setup() is first"
    )


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


async def _bring(state: State, names: Names, rows: Sequence[asyncpg.Record], model: str | None, done: Imported) -> None:
    items: dict[str, _Item] = {}
    for row in rows:
        try:
            # what was meant by a dot there, is a namespace's next label
            key = names.key(row["prefix"].split("."), row["key"])
            lives, span = row["lives"], row["span"]
            # minutes were rounded there
            ttl = lives if lives is None or span is None else max(lives, span)
            items[key] = _Item(json.loads(row["value"]), lives, ttl, row["updated_at"], row["vectors"] or [])
        except (InvalidNamespaceError, errors.InvalidKey, ValueError) as error:
            done.left.append(f"item {row['key']!r} of {row['prefix']!r}: {error}")
    results = await _put(state, items, dict.fromkeys(items, 0), model)
    present = [key for key, result in results.items() if result.status == "conflict"]
    entries = zip(present, await state.get_many(present), strict=True)
    older = {key: entry.version for key, entry in entries if entry is not None and _more(items[key], entry)}
    results |= await _put(state, {key: items[key] for key in older}, older, model)
    for key, result in results.items():
        if result.status not in ("ok", "conflict"):
            done.left.append(f"item {key}: {result.message or result.status}")
    brought = [key for key, result in results.items() if result.status == "ok"]
    lives = {key: lives for key in brought if (lives := items[key].lives) is not None and lives != items[key].ttl}
    if lives:
        call = partial(touch, keys=[state._key(key) for key in lives], lives=[*lives.values()], agent=state._agent)
        await state._core.call(lambda c, left: call(c, timeout=left), state._timeout)
    for key, entry in zip(brought, await state.get_many(brought), strict=True):
        # one may have expired since
        if items[key].lives is None if entry is None else not _same(entry.value, items[key].value):
            done.left.append(f"item {key}: it is not what it was")
    done.items += len(brought)
    done.present += sum(result.status == "conflict" for result in results.values())


def _same(one: Any, other: Any) -> bool:
    """As JSON, where 1 is neither 1.0 nor true."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _more(there: _Item, here: Entry[Any]) -> bool:
    """Is there more there than here: a later value, or vectors, of which nobody tells whether they are here?"""
    if _same(here.value, there.value):
        return bool(there.vectors)
    return there.updated_at is not None and there.updated_at > here.updated_at


async def _put(
    state: State, items: Mapping[str, _Item], expect: Mapping[str, int], model: str | None
) -> dict[str, Result]:
    embedded = [key for key, item in items.items() if item.vectors]
    plain = [
        ops.put(key, item.value, expect=expect[key], **_span(item.ttl))
        for key, item in items.items()
        if not item.vectors
    ]
    found = {result.key: result for result in await state.put_many(plain)} if plain else {}
    outcomes = await asyncio.gather(
        *(
            state.put_embedded(
                key, items[key].value, items[key].vectors, model=model, expect=expect[key], **_span(items[key].ttl)
            )
            for key in embedded
        ),
        return_exceptions=True,
    )
    for key, outcome in zip(embedded, outcomes, strict=True):
        if isinstance(outcome, errors.VersionConflict):
            found[key] = Result(key, "conflict")
        elif isinstance(outcome, OF_ONE):
            found[key] = Result(key, "invalid", message=str(outcome))
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            found[key] = Result(key, "ok", outcome)
    for result in found.values():
        if result.status == "denied":
            raise errors.AccessDenied(result.message or f"access denied: {result.key}")
    return found


def _span(ttl: timedelta | None) -> dict[str, Any]:
    return {} if ttl is None else {"ttl": ttl}
