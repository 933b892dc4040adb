"""A write on its way: what it takes, how it is sent, and what comes back."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pgstate import errors
from pgstate._areas import _items
from pgstate._areas._base import seconds
from pgstate._areas._detected import detected, detected_or_error
from pgstate._areas.reading import Reading
from pgstate._calls._run import outcome_error
from pgstate._json import decode, encode
from pgstate.types import TRUST, Entry, Result, Row, Seconds, Source, _Unset, told

# of a write's arguments those from token to op_id
_REST = 6


class Writing(Reading):
    """What writes share, whether one or many."""

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
            # an array of arrays says nothing to the database, and the value would be trusted as far as its writer is
            if trust is not None and not isinstance(trust, str):
                raise errors.InvalidArgument(f"trust is one of {', '.join(TRUST)}, not {trust!r}")
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

    def _write_denied(
        self, error: errors.AccessDenied, args: _items.Write, *, reads: bool = False
    ) -> errors.AccessDenied:
        op, key, _, expect, compare, _, token, _, _, _, return_value, _, *origin = args
        compares = expect is not None or compare is not None or token is not None or return_value
        needs = "read and write" if compares or reads else "write"
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
                raise outcome_error(row["code"], f"{write[1][self._skip :]}: {row['message'] or row['code']}")
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
        current: Entry[Any] = Entry(KnownRow(key=full, value=row["value"], version=version), decode, self._skip)
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


class KnownRow(dict[str, Any]):
    """Key, version and value of an entry of which no more is known."""

    def __missing__(self, column: str) -> Any:
        raise AttributeError(f"only key, version and value of this entry are known, not {column}: get it")
