"""Reading entries."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar, overload

from pgstate import errors
from pgstate._areas._base import Area, named
from pgstate._areas._detected import inspected, inspected_one, read_or_refuse
from pgstate._calls import history, values
from pgstate._calls._run import outcome_error
from pgstate._json import decode, decoder
from pgstate.types import AsOf, Entry, Page, Row, Version

T = TypeVar("T")
_MAX_LIMIT = 100_000


class Reading(Area):
    """get, list, history, namespaces."""

    @overload
    async def get(self, key: str, *, as_of: AsOf | None = ..., min_trust: str | None = ...) -> Entry[Any] | None: ...
    @overload
    async def get(
        self, key: str, *, as_: type[T], as_of: AsOf | None = ..., min_trust: str | None = ...
    ) -> Entry[T] | None: ...
    # unions and annotated types are no type[T]
    @overload
    async def get(
        self, key: str, *, as_: Any, as_of: AsOf | None = ..., min_trust: str | None = ...
    ) -> Entry[Any] | None: ...
    async def get(
        self, key: str, *, as_: Any = None, as_of: AsOf | None = None, min_trust: str | None = None
    ) -> Entry[Any] | None:
        """The entry, None if there is none. With `as_`, `value` is an object of that type, validated by Pydantic.

        With `as_of` the entry as it was: at a version of its own (int), at a cursor (str), or at a time (datetime),
        which stands for the newest point of the feed recorded before it, about one a second. Of a past entry key,
        value, version, writer, via, updated_at and expires_at are known. What had expired by then is None.
        `min_trust`: what is trusted less is None as well; not with `as_of`.

        Raises InvalidKey, AccessDenied (whether or not the key exists), Timeout, Unreachable; InvalidValue when
        `.value` is looked at and does not fit `as_`; with `as_of` InvalidArgument for a time to come, NotRecorded for
        one before anything was recorded, CursorInvalid, CursorExpired, FeedUnavailable.
        """
        key = self._key(key)
        self._core.stats.reads += 1
        try:
            if min_trust is not None:
                if as_of is not None:
                    raise errors.InvalidArgument("min_trust is of what is there now: give min_trust or as_of")
                row = await self._core.call(
                    lambda c, left: values.get(c, key, self._agent, min_trust, timeout=left), self._timeout
                )
            elif as_of is None:
                row = await self._core.reader(self._agent).submit(key, (), len(key), self._timeout)
            else:
                past = named(as_of)
                row = await self._core.call(
                    lambda c, left: history.get_as_of(c, key, *past, self._agent, timeout=left), self._timeout
                )
            if (detection := self._core.guard.detection) is not None:
                row = await inspected_one(detection, row)
            return self._found(row, decode if as_ is None else decoder(as_))
        except errors.AccessDenied as error:
            raise self._denied(error, f"get {key}", "read", key) from error.__cause__

    def _found(self, row: Row, read: Callable[[str], Any]) -> Entry[Any] | None:
        if row["status"] == "ok":
            return Entry(row, read, self._skip)
        if row["status"] == "missing":
            return None
        raise outcome_error(row["code"], row["message"])

    @overload
    async def get_many(
        self, keys: Iterable[str], *, return_errors: Literal[False] = ..., min_trust: str | None = ...
    ) -> builtins.list[Entry[Any] | None]: ...
    @overload
    async def get_many(
        self, keys: Iterable[str], *, return_errors: Literal[True], min_trust: str | None = ...
    ) -> builtins.list[Entry[Any] | errors.PgStateError | None]: ...
    async def get_many(self, keys: Iterable[str], *, return_errors: bool = False, min_trust: str | None = None) -> Any:
        """`get` for many keys, in their order; `min_trust` as there.

        A key that is refused raises its error, unless `return_errors` puts that in its place: then a list may hold
        entries, None for what does not exist, and InvalidKey and AccessDenied, one for each key. What is no key's own
        fault (Timeout, Unreachable) raises in any case.
        """
        asked = [self._key_or_error(key) for key in keys]
        sent = [(key, (), len(key)) for key in asked if isinstance(key, str)]
        self._core.stats.reads += len(sent)
        if min_trust is None:
            rows = iter(await self._core.reader(self._agent).submit_all(sent, self._timeout))
        else:
            full = [key for key, _, _ in sent]
            rows = iter(
                await self._core.call(
                    lambda c, left: values.get_many(c, full, self._agent, min_trust, timeout=left), self._timeout
                )
            )
        found: builtins.list[Any] = [
            await self._found_or_error(key, next(rows)) if isinstance(key, str) else key for key in asked
        ]
        for entry in found:
            own = return_errors and isinstance(entry, errors.InvalidKey | errors.AccessDenied | errors.ValueRefused)
            if isinstance(entry, Exception) and not own:
                raise entry
        return found

    def _key_or_error(self, key: str) -> str | errors.InvalidKey:
        try:
            return self._key(key)
        except errors.InvalidKey as error:
            return error

    async def _found_or_error(self, key: str, row: Row | Exception) -> Entry[Any] | Exception | None:
        try:
            if isinstance(row, Exception):
                raise row
            if (detection := self._core.guard.detection) is not None:
                row = await inspected_one(detection, row)
            return self._found(row, decode)
        except errors.AccessDenied as error:
            return self._denied(error, f"get {key}", "read", key).with_traceback(None)
        except Exception as error:
            return error

    async def list(
        self,
        pattern: str = "",
        *,
        limit: int | None = 1000,
        after: str | None = None,
        as_of: str | datetime | None = None,
        claimed: bool | None = None,
        min_trust: str | None = None,
    ) -> Page:
        """Entries that match a pattern and that the agent may read, in key order; an empty pattern means everything.

        `limit` is 1 to 100,000 (None: all); `after` continues behind a key, such as `page.after`. `page.cursor` is the
        point in the change feed at which they were listed, empty on a standby, which has none. With `as_of` (a cursor
        or a datetime) they are listed as they were, deleted ones too, as in `get`; `page.cursor` is that point of the
        feed then (empty for a time before a restore, from which the feed cannot go on). `claimed` lists only those that
        somebody holds now (True), or that nobody does (False), `min_trust` only those that are trusted at least so far.
        Raises InvalidPattern, AccessDenied when the pattern reaches nothing that the agent may read, and with `as_of`
        what `get` raises.
        """
        full = self._pattern(pattern)
        start = None if after is None else self._key(after)
        with self._to(f"list {full or 'everything'}", "read", full):
            if as_of is None:
                cursor, rows = await self._core.call(
                    lambda c, left: values.list_(c, full, limit, start, self._agent, claimed, min_trust, timeout=left),
                    self._timeout,
                )
            elif claimed is not None:
                raise errors.InvalidArgument("of the past it is not known what was claimed: give claimed or as_of")
            elif min_trust is not None:
                raise errors.InvalidArgument("min_trust is of what is there now: give min_trust or as_of")
            else:
                version, then, at = named(as_of)
                if version is not None:
                    raise errors.InvalidArgument("a version is of one key: list as of a cursor or a datetime")
                cursor, rows = await self._core.call(
                    lambda c, left: history.list_as_of(c, full, limit, start, then, at, self._agent, timeout=left),
                    self._timeout,
                )
        more = limit is not None and len(rows) >= limit
        after = rows[-1]["key"][self._skip :] if more else None
        if (detection := self._core.guard.detection) is not None:
            return Page(await inspected(detection, rows), cursor, after, read_or_refuse, self._skip)
        return Page(rows, cursor, after, decode, self._skip)

    async def history(self, key: str, *, limit: int | None = 100, before: int | None = None) -> builtins.list[Version]:
        """Versions of a key, newest first; `before` continues with those older than a version. InvalidKey,
        AccessDenied."""
        full = self._key(key)
        with self._to(f"see the history of {full}", "read", full):
            rows = await self._core.call(
                lambda c, left: values.history(c, full, limit, before, self._agent, timeout=left), self._timeout
            )
        return [Version(row, decode, self._skip) for row in rows]

    async def namespaces(
        self,
        pattern: str = "",
        *,
        matching: Sequence[str] = (),
        depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> builtins.list[str]:
        """Keys under which there are entries (theirs without the last segment) that match a pattern and all of
        `matching`, of entries that the agent may read. `depth` cuts them short, each once, to that many segments.
        `limit` is 1 to 100,000, `offset` how many are passed over. Costs what it returns, however many entries there
        are. Raises InvalidPattern, InvalidArgument, AccessDenied when the pattern reaches nothing that the agent may
        read."""
        full, others = self._pattern(pattern), [self._pattern(other) for other in matching]
        deep = None if depth is None else depth + self._prefix.count("/")
        with self._to(f"list namespaces of {full or 'everything'}", "read", full):
            found = await self._core.call(
                lambda c, left: values.namespaces(
                    c, full, others or None, deep, limit, offset, self._agent, timeout=left
                ),
                self._timeout,
            )
        return [key[self._skip :] for key in found]
