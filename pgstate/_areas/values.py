"""Writing entries."""

from __future__ import annotations

import asyncio
import builtins
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from inspect import isawaitable
from typing import Any, Literal, TypeVar, overload

from pgstate import errors
from pgstate._areas import _items
from pgstate._areas._base import some
from pgstate._areas._detected import detected_operation
from pgstate._areas._endings import ending
from pgstate._areas._writes import KnownRow, Writing
from pgstate._bound import BoundCore
from pgstate._calls import values
from pgstate._json import decode, decode_told, encode
from pgstate.types import UNSET, Entry, Result, Seconds, Source, _Unset

T = TypeVar("T")
_MAX_LIMIT = 100_000


class Values(Writing):
    """put, merge, delete, update, apply, and their set-based forms."""

    async def put(
        self,
        key: str,
        value: Any,
        *,
        expect: int | None = None,
        expect_value: Any | _Unset = UNSET,
        ttl: Seconds | None = None,
        op_id: str | None = None,
        token: int | None = None,
        priority: int | None = None,
        not_before: datetime | None = None,
        trust: str | None = None,
        sources: Sequence[Source] | None = None,
    ) -> int:
        """Writes a value and returns its version (0 for an agent that may write but not read).

        `value` is anything that JSON or Pydantic can serialize. `expect` None writes regardless, 0 only creates, n only
        replaces version n; `expect_value` compares the value instead. `ttl` (seconds) ends in the entry's expiry, None
        means never. `op_id` makes the write happen once, however often it is asked for. `token` is that of the caller's
        claim. `priority` and `not_before` order claims, and stay as they are unless given. `trust` is the most that the
        value is to be trusted ("external", "agent", "verified", "operator"), up to what the agent is; `sources` are the
        keys it derives from, or `{"key": ..., "version": ...}`: the agent must be able to read them (AccessDenied), and
        it is trusted no more than they are.
        Raises VersionConflict (with `.current`), ClaimHeld, StaleToken, InvalidKey, InvalidValue, ValueTooLarge,
        AccessDenied, OpIdReused, Timeout, Unreachable.
        """
        row = await self._write(
            "put",
            key,
            encode(value),
            expect,
            expect_value,
            ttl,
            token,
            priority,
            not_before,
            None,
            None,
            op_id,
            trust,
            sources,
        )
        return row["version"] or 0

    async def touch(self, *keys: str) -> int:
        """Lets the time to live of entries begin anew: each lives on for as long as its last write let it. Returns how
        many did: those without a time to live, that have expired, or that the agent may not read and write stay as they
        are. It makes no version. Raises InvalidKey."""
        full = [self._key(key) for key in keys]
        return await self._core.call(lambda c, left: values.touch(c, full, self._agent, timeout=left), self._timeout)

    @overload
    async def merge(
        self,
        key: str,
        operand: Any,
        reducer: str | None = ...,
        *,
        ttl: Seconds | None = ...,
        token: int | None = ...,
        op_id: str | None = ...,
        return_value: Literal[False] = ...,
        trust: str | None = ...,
        sources: Sequence[Source] | None = ...,
    ) -> int: ...
    @overload
    async def merge(
        self,
        key: str,
        operand: Any,
        reducer: str | None = ...,
        *,
        ttl: Seconds | None = ...,
        token: int | None = ...,
        op_id: str | None = ...,
        return_value: Literal[True],
        trust: str | None = ...,
        sources: Sequence[Source] | None = ...,
    ) -> Any: ...
    async def merge(
        self,
        key: str,
        operand: Any,
        reducer: str | None = None,
        *,
        ttl: Seconds | None = None,
        token: int | None = None,
        op_id: str | None = None,
        return_value: bool = False,
        trust: str | None = None,
        sources: Sequence[Source] | None = None,
    ) -> Any:
        """Merges an operand into a key inside the database, and returns the version, or the merged value if asked to.

        Reducers: replace, append, add, max, min, union, merge, deep_merge, messages (by id), first; without a name, the
        one that a policy sets for the key. Never conflicts:
        concurrent merges all take effect. A missing key starts from the operand; a merge that changes nothing makes no
        version, unless it gives a ttl, or goes into a value over 2 kB that grows by merges. `trust` and `sources` as in
        `put`, of the operand: the value is trusted no more than that, nor than before. Raises UnknownReducer,
        ReducerMismatch, and what `put` raises but VersionConflict.
        """
        row = await self._write(
            "merge",
            key,
            encode(operand),
            None,
            UNSET,
            ttl,
            token,
            None,
            None,
            reducer,
            return_value or None,
            op_id,
            trust,
            sources,
        )
        if return_value:
            return decode(row["value"])
        return row["version"] or 0

    async def delete(
        self, key: str, *, expect: int | None = None, token: int | None = None, op_id: str | None = None
    ) -> int | None:
        """Deletes a key and returns the version of the deletion, None if there was nothing. Its history stays.

        Raises VersionConflict, ClaimHeld, StaleToken, InvalidKey, AccessDenied.
        """
        row = await self._write("delete", key, None, expect, UNSET, None, token, None, None, None, None, op_id)
        return row["version"] if row["status"] == "ok" else None

    async def update(
        self, key: str, fn: Callable[[Any], Any], *, attempts: int = 10, token: int | None = None
    ) -> Entry[Any]:
        """Reads, applies `fn` to the value (None if there is none), and writes the result unless another was faster;
        then reads again, up to `attempts` times. `fn` may be a coroutine function. Updates of one key in this client
        take turns, so only other processes are faster. Returns the entry that was written.

        Raises VersionConflict after the last attempt, Timeout when its turn does not come, and what `get` and `put`
        raise.
        """
        async with self._turn(key):
            return await self._update(key, fn, attempts, token)

    @asynccontextmanager
    async def _turn(self, key: str) -> AsyncIterator[None]:
        """The turn of one of the updates of a key in this client. Raises Timeout."""
        lock = self._core.update_lock(self._key(key))
        try:
            async with asyncio.timeout(self._timeout):
                await lock.acquire()
        except TimeoutError:
            raise errors.Timeout(
                f"another update of {key} goes on in this process; does its fn wait for this one?"
            ) from None
        try:
            yield
        finally:
            lock.release()

    async def _update(self, key: str, fn: Callable[[Any], Any], attempts: int, token: int | None) -> Entry[Any]:
        current = await self.get(key)
        for attempt in range(1, attempts + 1):
            value = fn(None if current is None else current.value)
            if isawaitable(value):
                value = await value
            text = encode(value)
            expect = 0 if current is None else current.version
            try:
                row = await self._write("put", key, text, expect, UNSET, None, token, None, None, None, None, None)
            except errors.VersionConflict as conflict:
                if attempt == attempts:
                    raise errors.VersionConflict(
                        f"{key} changed under each of {attempts} attempts: give update() more attempts, or use merge()",
                        conflict.key,
                        conflict.version,
                        conflict.current,
                    ) from conflict
                current = conflict.current
                if current is not None and self._core.guard.detection is not None:
                    # which is asked for what is read, and not for what is in the way
                    current = await self.get(key)
                # writers in step would go on colliding
                await asyncio.sleep(random.uniform(0, 0.001 * 2 ** min(attempt, 6)))
            else:
                return Entry(KnownRow(key=self._prefix + key, value=text, version=row["version"]), decode, self._skip)
        raise errors.InvalidArgument("attempts must be at least 1")

    async def put_many(
        self,
        items: Mapping[str, Any] | Iterable[tuple[str, Any] | Mapping[str, Any]],
        *,
        ttl: Seconds | None = None,
    ) -> builtins.list[Result]:
        """`put` for many keys: one outcome per item, in order; a refused one harms no other and raises nothing.

        `items` is a mapping of keys to values, or any of `(key, value)` and `ops.put(key, value, expect=3, token=…)`,
        which has the options of `put` for each: `[("a", 1), ops.put("b", 2, expect=0)]`. Such a document may have an
        `op_id` too: `ops.put("b", 2) | {"op_id": "…"}`. `ttl` is for those that have none of their own. A lost race is
        an outcome with status conflict and the current version and value. Raises InvalidArgument for an item that is
        none of these (nothing was sent then), Timeout, Unreachable.
        """
        return await self._each(_items.puts(items, ttl))

    async def merge_many(self, items: Iterable[tuple[str, Any, str] | Mapping[str, Any]]) -> builtins.list[Result]:
        """`merge` for many (key, operand, reducer) or `ops.merge(...)`: one outcome per item, in order; see
        `put_many`."""
        return await self._each(_items.merges(items))

    async def delete_many(self, keys: Iterable[str | Mapping[str, Any]]) -> builtins.list[Result]:
        """`delete` for many keys or `ops.delete(...)`: one outcome per item, in order, status missing where there was
        nothing; see `put_many`."""
        return await self._each(_items.deletes(keys))

    async def apply(
        self,
        *,
        guards: Sequence[Mapping[str, Any]] = (),
        operations: Sequence[Mapping[str, Any]] = (),
        op_id: str | None = None,
    ) -> builtins.list[Result]:
        """Several keys, all or nothing: if every guard holds, every operation is done, in one transaction.

        Guards and operations are documents as the functions of `pgstate.ops` make them. Returns one outcome per guard,
        then per operation. Raises VersionConflict, ClaimHeld or StaleToken for the first that failed (nothing was done
        then), InvalidArgument for a misspelt one, and what `put` raises.
        """
        full = [[self._full(row) for row in rows] for rows in (guards, operations)]
        if (detection := self._core.guard.detection) is not None:
            full[1] = [await detected_operation(detection, row) for row in full[1]]
        keys = list(dict.fromkeys(row["key"] for rows in full for row in rows))
        first, then = map(encode, full)
        completed = [(row["key"], row.get("token")) for row in full[1] if row.get("op") == "complete"]
        with (
            self._to(f"apply that to {some(keys)}", "write, and read for what it compares"),
            ending(completed, bound=isinstance(self._core, BoundCore), completing=True) as ended,
        ):
            rows = await self._core.call_once(
                lambda c, lane, left: values.apply(
                    c, first, then, op_id, lane.id, lane.turn, self._agent, timeout=left
                ),
                self._agent,
                self._timeout,
            )
            if all(row["status"] in ("ok", "skipped") for row in rows):
                ended()
        self._core.stats.writes += len(operations)
        if rows and rows[0]["watched"]:
            self._core.wake([row["key"] for row in rows[len(guards) :]], self._agent)
        for row in rows:
            if row["status"] not in ("ok", "skipped"):
                self._core.stats.conflicts += 1
                raise self._conflict(row, row["key"])
        return [
            Result(row["key"][self._skip :], row["status"], row["version"], decode_told(row["value"])) for row in rows
        ]
