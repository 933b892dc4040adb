"""Entries and their changes, rules for them, who may do what, and the client itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, TypeAlias, TypeVar, overload

from pgstate.errors import InvalidValue

T = TypeVar("T")
Row: TypeAlias = Mapping[str, Any]
Seconds: TypeAlias = float | timedelta
TRUST: Final = ("external", "agent", "verified", "operator")
"""How far a version can be relied on, the lowest first."""
Source: TypeAlias = str | Mapping[str, Any]
"""What a value derives from: a key, or a document with a key and a version."""
AsOf: TypeAlias = int | str | datetime


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

UNSET: Final = _Unset()
"""Not given, where None is a value."""


class Unreadable(str):
    """A stored value that Python cannot read, as its JSON: with a number of more than 4,300 digits, or nested too
    deeply. It stands where values are told beside other things (`rollback`, `quarantine`, `runs`); who asks for the
    value itself gets InvalidValue."""

    __slots__ = ()


def told(row: Any, name: str = "value") -> Any:
    """A value of an entry, version or change, among others that one of them must not keep from being told."""
    try:
        return getattr(row, name)
    except InvalidValue as error:
        if error.text is None:
            raise
        return Unreadable(error.text)


def movable(row: Row) -> Row:
    """A row that can be pickled and copied."""
    return row if isinstance(row, dict) else dict(row)


class _Decoded(Generic[T]):
    """A row whose key is shown relative to a namespace and whose JSON columns are decoded when asked for."""

    __slots__ = ("_decode", "_row", "_skip", "_value")

    def __init__(self, row: Row, decode: Callable[[str], T], skip: int = 0) -> None:
        self._row = row
        self._decode = decode
        self._skip = skip

    @property
    def key(self) -> str:
        key: str = self._row["key"]
        return key[self._skip :]

    @property
    def value(self) -> T:
        try:
            return self._value
        except AttributeError:
            text = self._row["value"]
            # a deleted key has no value; JSON null is the text 'null'
            self._value: T = None if text is None else self._decode(text)  # type: ignore[assignment]
            return self._value

    @property
    def version(self) -> int:
        """Number of the version; rises by one with each change of the key and never restarts."""
        return int(self._row["version"])

    @property
    def writer(self) -> str:
        """The agent that wrote it; 'pgstate' for an expiry."""
        return str(self._row["writer"])

    @property
    def via(self) -> str:
        """The database login that the writer came through."""
        return str(self._row["via"])

    @property
    def trust(self) -> str:
        """How far it can be relied on: external, agent, verified or operator; stamped by the server."""
        return str(self._row["trust"] or "agent")

    @property
    def labels(self) -> tuple[str, ...]:
        """What the detector of `connect(detector=…)` says of the value."""
        try:
            return tuple(self._row["labels"])
        except KeyError:
            return ()

    def _identity(self) -> tuple[object, ...]:
        return (type(self), self.key, self.version, self.value)

    def __reduce__(self) -> tuple[Any, ...]:
        # to another process, and for copies: the driver's rows are neither
        looked_at = {name: getattr(self, name) for name in ("_value", "_previous") if hasattr(self, name)}
        return type(self), (movable(self._row), self._decode, self._skip), (None, looked_at)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Decoded) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((type(self), self.key, self.version))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key={self.key!r}, version={self.version}, value={self.value!r})"


@overload
def _moment(time: datetime | float) -> datetime: ...
@overload
def _moment(time: datetime | float | None) -> datetime | None: ...
def _moment(time: datetime | float | None) -> datetime | None:
    return _EPOCH + timedelta(microseconds=round(time * 1e6)) if isinstance(time, float | int) else time


class Entry(_Decoded[T]):
    """What a key holds: `key`, `value`, `version`, `writer`, `via` and the times. Of a past entry (`as_of`) `kind`,
    `created_at`, `priority` and `not_before` are not known: AttributeError."""

    __slots__ = ()

    def _kept(self, column: str) -> Any:
        try:
            return self._row[column]
        except KeyError:
            raise AttributeError(f"of a past entry {column} is not known") from None

    def _rare(self, column: str) -> Any:
        """What few entries have: all of it comes together, as JSON, when there is any."""
        try:
            extra = self._row["extra"]
        except KeyError:
            return self._kept(column)
        return None if extra is None else json.loads(extra)[column]

    @property
    def kind(self) -> str:
        """value, thread or run."""
        return str(self._rare("kind") or "value")

    @property
    def created_at(self) -> datetime:
        at: datetime | float = self._kept("created_at")
        return _moment(at)

    @property
    def updated_at(self) -> datetime:
        return _moment(self._row["updated_at"] or self._row["created_at"])

    @property
    def expires_at(self) -> datetime | None:
        """When it becomes invisible; None for never."""
        at: datetime | float | None = self._rare("expires_at")
        return _moment(at)

    @property
    def priority(self) -> int:
        """Higher ones are claimed first."""
        return int(self._rare("priority") or 0)

    @property
    def not_before(self) -> datetime | None:
        """Not claimable before this time."""
        at: datetime | float | None = self._rare("not_before")
        return _moment(at)


class Version(_Decoded[Any]):
    """One version of a key, from its history."""

    __slots__ = ()

    @property
    def op(self) -> str:
        """put, merge, delete, complete or expire."""
        return str(self._row["op"])

    @property
    def at(self) -> datetime:
        return _moment(self._row["at"])

    @property
    def expires_at(self) -> datetime | None:
        return self._row["expires_at"]  # type: ignore[no-any-return]

    @property
    def created(self) -> bool:
        """The key did not exist just before."""
        return bool(self._row["created"])


class Change(Version):
    """One change from the feed. `cursor` resumes right after it; `value` is None when the key was removed."""

    __slots__ = ("_previous",)

    @property
    def previous(self) -> Any:
        """The value before; None when there was none."""
        try:
            return self._previous
        except AttributeError:
            text = self._row["previous"]
            self._previous: Any = None if text is None else self._decode(text)
            return self._previous

    @property
    def cursor(self) -> str:
        """Opaque; `watch(since=...)` and `changes(...)` go on after this change."""
        return str(self._row["cursor"])

    @property
    def whole(self) -> bool:
        """No transaction is split between this change and the next."""
        return bool(self._row["whole"])

    @property
    def exists(self) -> bool:
        """The key holds a value after this change."""
        return self._row["value"] is not None

    def __repr__(self) -> str:
        return f"Change(op={self.op!r}, key={self.key!r}, version={self.version}, value={self.value!r})"


class Page(Sequence[Entry[Any]]):
    """Entries in key order. `cursor` is the point in the feed at which they were listed, empty where the feed cannot go
    on from it; `after` starts the next page, None when this one was not full."""

    __slots__ = ("_decode", "_rows", "_skip", "after", "cursor")

    def __init__(
        self, rows: Sequence[Row], cursor: str, after: str | None, decode: Callable[[str], Any], skip: int = 0
    ) -> None:
        self._rows = rows
        self._decode = decode
        self._skip = skip
        self.cursor = cursor
        self.after = after

    @overload
    def __getitem__(self, index: int) -> Entry[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry[Any]]: ...
    def __getitem__(self, index: int | slice) -> Entry[Any] | list[Entry[Any]]:
        if isinstance(index, slice):
            return [Entry(row, self._decode, self._skip) for row in self._rows[index]]
        return Entry(self._rows[index], self._decode, self._skip)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Entry[Any]]:
        return (Entry(row, self._decode, self._skip) for row in self._rows)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ([movable(row) for row in self._rows], self.cursor, self.after, self._decode, self._skip)

    def __repr__(self) -> str:
        return f"Page({list(self)!r})"


@dataclass(frozen=True, slots=True)
class ChangePage:
    """A page of the feed: go on from `cursor`; `more` says that the page was full."""

    changes: list[Change]
    cursor: str
    more: bool

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __len__(self) -> int:
        return len(self.changes)


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback did to a key, or would do: `action` is put, delete or none.

    `status` is ok, or conflict for a key that others wrote too and that stays as it is. With `dry_run` it may also be
    held, denied, or refused (a rule of today does not take the value): then nothing would be done. `from_version` and
    `old` are what was there, `to_version` and `new` what is brought back (version 0: nothing), until `expires_at`.
    `version` is the one that it made, None in a dry run.
    """

    key: str
    status: str
    action: str
    version: int | None
    from_version: int
    to_version: int
    old: Any
    new: Any
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Result:
    """Outcome of one row of a set-based call or of apply(): `status` is ok, conflict, held, stale, missing, skipped,
    denied or invalid; `version` the new or current one; `code` and `message` say why a row was refused."""

    key: str
    status: str
    version: int | None = None
    value: Any = None
    code: str | None = None
    message: str | None = None

    @property
    def ok(self) -> bool:
        return self.status == "ok"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field of a typed state at two points in the feed; UNSET where nothing is stored for it."""

    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Info:
    """The installation: revision of the schema, the acting agent (None for a gateway that names none), the login, the
    largest value in bytes, and the oldest revision whose clients the schema serves (None before 0003)."""

    revision: str
    agent: str | None
    login: str
    value_limit: int
    epoch: int
    serves: str | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """A registered agent, its own login, and the gateways that may act for it."""

    name: str
    login: str | None
    gateways: list[str]
    root: bool
    created_at: datetime
    trust: str = "agent"
    """The most that what it writes is trusted."""
    suspended_at: datetime | None = None
    """Since when nobody acts as it."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A right of an agent or group on a key or subtree, or with `deny` that it has not; `until` when, None for ever."""

    agent: str
    subtree: str
    right: str
    granted_by: str
    granted_at: datetime
    deny: bool
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Policy:
    """What a policy sets for a key or subtree, None what it does not. `ttl` 0 is none; `keep` is "everything", a number
    of versions ("100 versions") or an interval as the database writes it."""

    subtree: str
    reducer: str | None
    ttl: timedelta | None
    keep: str | None
    value_limit: int | None
    schema: Any
    set_by: str
    set_at: datetime
    max_attempts: int | None = None
    backoff: timedelta | None = None
    backoff_limit: timedelta | None = None
    dead_letter: str | None = None
    claimed_writes: bool | None = None
    guard: str | None = None
    trust: str | None = None


@dataclass(frozen=True, slots=True)
class PolicySetting:
    """What holds for a key: a setting, its value, and the subtree whose policy sets it, None where none does."""

    setting: str
    value: Any
    subtree: str | None


@dataclass(frozen=True, slots=True)
class Maintained:
    """One step of retention and indexing: `status` is ok, or busy when another client was at it; `removed` counts
    versions, None for an agent without admin on everything; `more` says that more waits."""

    status: str
    removed: int | None
    more: bool


@dataclass(slots=True)
class Stats:
    """What a client did since it connected, in counts."""

    writes: int = 0
    reads: int = 0
    statements: int = 0
    conflicts: int = 0
    retries: int = 0
    changes: int = 0
    wakeups_sent: int = 0
    wakeups_received: int = 0
    largest_batch: int = field(default=0)
