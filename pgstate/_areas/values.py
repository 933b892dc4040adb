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
from pgstate._areas._base import seconds, some
from pgstate._areas._detected import detected, detected_operation, detected_or_error
from pgstate._areas._endings import ending
from pgstate._areas.reading import Reading
from pgstate._bound import BoundCore
from pgstate._calls import values
from pgstate._calls._run import outcome_error
from pgstate._json import decode, decode_told, encode
from pgstate.types import UNSET, Entry, Result, Row, Seconds, Source, _Unset, told

T = TypeVar("T")
_MAX_LIMIT = 100_000
# of a write's arguments those from token to op_id
_REST = 6


class Values(Reading):
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
                # writers in step would go on colliding
                await asyncio.sleep(random.uniform(0, 0.001 * 2 ** min(attempt, 6)))
            else:
                return Entry(_KnownRow(key=self._prefix + key, value=text, version=row["version"]), decode, self._skip)
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

    def _full(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        if not isinstance(row, Mapping) or not isinstance(row.get("key"), str):
            raise errors.InvalidArgument(f"a guard or operation is a document with a key, not {row!r}")
        full = {**row, "key": self._key(row["key"])}
        if isinstance(row.get("sources"), list | tuple):
            full["sources"] = [self._source(one) for one in row["sources"]]
        return full

    async def _write(
        self,
        op: str,
        key: str,
        value: str | None,
        expect: int | None,
        expect_value: Any | _Unset,
        ttl: Seconds | None,
        token: int | None,
        priority: int | None,
        not_before: datetime | None,
        reducer: str | None,
        return_value: bool | None,
        op_id: str | None,
        *origin: Any,
    ) -> Row:
        args = self._arguments(
            op,
            key,
            value,
            expect,
            expect_value,
            ttl,
            token,
            priority,
            not_before,
            reducer,
            return_value,
            op_id,
            *origin,
        )
        if (detection := self._core.guard.detection) is not None:
            args = await detected(detection, args)
        self._core.stats.writes += 1
        try:
            row = await self._core.writer(self._agent).submit(args[1], args, _size(args), self._timeout)
        except errors.AccessDenied as error:
            raise self._write_denied(error, args) from error.__cause__
        return self._written(row, args)

    def _arguments(
        self,
        op: str,
        key: str,
        value: str | None,
        expect: int | None,
        expect_value: Any,
        ttl: Seconds | None,
        *rest: Any,
    ) -> _items.Write:
        """A write as the database takes it."""
        compare = None if isinstance(expect_value, _Unset) else encode(expect_value)
        if len(rest) > _REST:
            trust, sources = rest[_REST:]
            rest = rest[:_REST]
            if trust is not None or sources is not None:
                rest = *rest, trust, None if sources is None else encode([self._source(one) for one in sources])
        return op, self._key(key), value, expect, compare, None if ttl is None else seconds(ttl), *rest

    def _source(self, source: Source) -> Source:
        if isinstance(source, str):
            return self._key(source)
        if not isinstance(source, Mapping) or not isinstance(source.get("key"), str):
            raise errors.InvalidArgument(f"a source is a key, or a document with a key and a version, not {source!r}")
        return {**source, "key": self._key(source["key"])}

    def _written(self, row: Row, args: _items.Write) -> Row:
        """The row of a write that was made, or of one that found nothing to remove; other outcomes raise."""
        if row["status"] in ("ok", "missing"):
            return row
        if row["code"] is None:
            self._core.stats.conflicts += 1
            raise self._conflict(row, args[1])
        error = outcome_error(row["code"], row["message"])
        raise self._write_denied(error, args) if isinstance(error, errors.AccessDenied) else error

    def _write_denied(self, error: errors.AccessDenied, args: _items.Write) -> errors.AccessDenied:
        op, key, _, expect, compare, _, token, _, _, _, return_value, _, *origin = args
        compares = expect is not None or compare is not None or token is not None or return_value
        needs = "read and write" if compares else "write"
        needs += ", and read on its sources" if origin else ""
        # a row that was refused is recorded by the statement that refused it
        return self._denied(error, f"{op} {key}", needs, key, recorded=error.__cause__ is None)

    async def _write_all(self, state: str, writes: Sequence[tuple[Any, ...]]) -> Sequence[Row]:
        """Writes to several full keys, all or nothing, in order with others to the same state; their outcomes."""
        core = self._core
        if (detection := core.guard.detection) is not None:
            writes = [await detected(detection, write) for write in writes]
        core.stats.writes += len(writes)
        size = sum(len(write[1]) + len(write[2]) for write in writes)
        outcome = await core.updater(self._agent).submit(state, tuple(writes), size, self._timeout)
        rows: Sequence[Row] = outcome["rows"]
        for write, row in zip(writes, rows, strict=True):
            if row["code"] is not None:
                raise outcome_error(row["code"], row["message"])
            if row["status"] not in ("ok", "skipped"):
                core.stats.conflicts += 1
                raise self._conflict(row, write[1])
        return rows

    def _conflict(self, row: Row, full: str) -> errors.Conflict:
        key = full[self._skip :]
        if row["status"] == "held":
            return errors.ClaimHeld(f"{key} is claimed: write with the token of the claim, or wait for its end", key)
        if row["status"] == "stale":
            return errors.StaleToken(f"the token for {key} is not that of its current claim, or its lease ended", key)
        version = row["version"] or 0
        if row["value"] is None:
            return errors.VersionConflict(f"{key} does not exist", key, 0, None)
        current: Entry[Any] = Entry(_KnownRow(key=full, value=row["value"], version=version), decode, self._skip)
        return errors.VersionConflict(f"{key} is at version {version}, not as expected", key, version, current)

    async def _each(self, writes: Sequence[_items.Write]) -> builtins.list[Result]:
        prepared = [self._arguments_or_error(write) for write in writes]
        if (detection := self._core.guard.detection) is not None:
            prepared = [await detected_or_error(detection, one) for one in prepared]
        sent = [(args[1], args, _size(args)) for args in prepared if isinstance(args, tuple)]
        self._core.stats.writes += len(sent)
        rows = iter(await self._core.writer(self._agent).submit_all(sent, self._timeout))
        return [
            self._result(write[1], args, next(rows) if isinstance(args, tuple) else args)
            for write, args in zip(writes, prepared, strict=True)
        ]

    def _arguments_or_error(self, write: _items.Write) -> _items.Write | Exception:
        if isinstance(write[2], errors.PgStateError):
            return write[2]
        try:
            return self._arguments(*write)
        except errors.PgStateError as error:
            return error

    def _result(self, key: str, args: Any, outcome: Row | Exception) -> Result:
        try:
            if isinstance(outcome, errors.AccessDenied):
                raise self._write_denied(outcome, args) from outcome.__cause__
            if isinstance(outcome, Exception):
                raise outcome
            row = self._written(outcome, args)
        except errors.VersionConflict as error:
            return Result(key, "conflict", error.version, error.current and told(error.current))
        except errors.ClaimHeld:
            return Result(key, "held")
        except errors.StaleToken:
            return Result(key, "stale")
        except errors.ValueRefused as error:
            return Result(key, "invalid", message=str(error))
        except errors.PgStateError as error:
            if error.sqlstate is None:
                raise
            status = "denied" if isinstance(error, errors.AccessDenied) else "invalid"
            return Result(key, status, code=error.sqlstate, message=str(error))
        return Result(key, row["status"], row["version"])


def _size(args: _items.Write) -> int:
    return len(args[1]) + len(args[2] or "")


class _KnownRow(dict[str, Any]):
    """Key, version and value of an entry of which no more is known."""

    def __missing__(self, column: str) -> Any:
        raise AttributeError(f"only key, version and value of this entry are known, not {column}: get it")
