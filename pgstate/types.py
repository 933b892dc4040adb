"""What the client returns. Rows are wrapped, not copied: a value is decoded when it is first looked at, so that listing
a thousand entries costs what fetching them costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, TypeAlias, TypeVar, overload

T = TypeVar("T")
Row: TypeAlias = Mapping[str, Any]
Seconds: TypeAlias = float | timedelta
AsOf: TypeAlias = int | str | datetime


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

UNSET: Final = _Unset()
"""Not given, where None is a value."""


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

    def _identity(self) -> tuple[object, ...]:
        return (type(self), self.key, self.version, self.value)

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
    """Entries in key order. `cursor` is the point in the feed at which they were listed; `after` starts the next page,
    None when this one was not full."""

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

    def __repr__(self) -> str:
        return f"Page({list(self)!r})"


class Found(Entry[Any]):
    """An entry that a search found. `priority` and `not_before` are not known: AttributeError."""

    __slots__ = ()

    @property
    def score(self) -> float | None:
        """What the results are ordered by, highest first; None for what was listed without a query."""
        return self._row["score"]  # type: ignore[no-any-return]

    @property
    def text_rank(self) -> float | None:
        """How well the words fit (ts_rank_cd); None for what only a vector found."""
        return self._row["text_rank"]  # type: ignore[no-any-return]

    @property
    def distance(self) -> float | None:
        """From the query's vector to the nearest of the entry's; None for what only words found."""
        return self._row["distance"]  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"Found(key={self.key!r}, score={self.score!r}, version={self.version}, value={self.value!r})"


class FoundPage(Sequence[Found]):
    """What a search found, best first. `after` starts the next page, None when this one was not full."""

    __slots__ = ("_decode", "_rows", "_skip", "after")

    def __init__(self, rows: Sequence[Row], after: str | None, decode: Callable[[str], Any], skip: int = 0) -> None:
        self._rows = rows
        self._decode = decode
        self._skip = skip
        self.after = after

    @overload
    def __getitem__(self, index: int) -> Found: ...
    @overload
    def __getitem__(self, index: slice) -> list[Found]: ...
    def __getitem__(self, index: int | slice) -> Found | list[Found]:
        if isinstance(index, slice):
            return [Found(row, self._decode, self._skip) for row in self._rows[index]]
        return Found(self._rows[index], self._decode, self._skip)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"FoundPage({list(self)!r})"


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
    held or denied: then nothing would be done. `from_version` and `old` are what was there, `to_version` and `new` what
    is brought back (version 0: nothing), until `expires_at`. `version` is the one that it made, None in a dry run.
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
class Claim:
    """Exclusive ownership of an entry until `lease_until`. `token` is the fencing token that every write takes."""

    key: str
    value: Any
    version: int
    token: int
    lease_until: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class HeldClaim:
    """A claim as everybody sees it who may read the entry: `holder` is an agent, `lease_left` is by the server's clock,
    `attempts` counts the claims since the entry was created. The token is the holder's alone."""

    key: str
    holder: str
    lease_until: datetime
    lease_left: timedelta
    attempts: int
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class TaskState:
    """An entry as a piece of work. `state` is waiting, claimed (by `holder`, `lease_left` by the server's clock),
    failed (given up: `error`) or finished. `attempts` counts the claims, `error` is what the last failure said, and
    `next_try` when one that waits may be claimed, None for at once."""

    key: str
    state: str
    priority: int
    holder: str | None
    lease_until: datetime | None
    lease_left: timedelta | None
    attempts: int
    error: str | None
    next_try: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Failed:
    """What became of work that failed: it may be claimed again `retry_in` from now; None when its attempts were used
    up, and `moved_to` then says where it was moved, None that it stays."""

    attempts: int
    retry_in: timedelta | None
    moved_to: str | None


@dataclass(frozen=True, slots=True)
class ForcedRelease:
    """A claim that an operator ended: whose it was (None: nobody's, after a failure), until when, who ended it and
    through which login."""

    key: str
    at: datetime
    token: int
    holder: str | None
    lease_until: datetime | None
    attempts: int
    released_by: str
    via: str


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
class ThreadInfo:
    """A thread: the checkpoint that was saved last and its namespace, how many there are in all, and the bytes that
    were sent for them. `forked_from` is the key that it was forked from, `forked_id` the checkpoint (None: all)."""

    key: str
    checkpoint: str | None
    ns: str | None
    checkpoints: int
    bytes: int
    version: int
    writer: str
    via: str
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    forked_from: str | None
    forked_id: str | None


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """A checkpoint without its values. `id` rises with time within a namespace; `parent` is the one that it came
    after, `channels` the names of its values, `size` the bytes that were sent for it."""

    key: str
    namespace: str
    id: str
    parent: str | None
    metadata: Any
    channels: list[str]
    size: int
    created_at: datetime
    writer: str
    via: str


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel of a checkpoint, as anybody can read it: `value` where it is JSON, else None and the serializer's
    `type` (None: the channel has no value). `version` is as the caller counts, None where none is told."""

    name: str
    type: str | None
    version: str | None
    value: Any


@dataclass(frozen=True, slots=True)
class PendingWrite:
    """What a task wrote to a channel after a checkpoint, and no later one holds yet."""

    task_id: str
    channel: str
    value: Any
    idx: int
    task_path: str


@dataclass(frozen=True, slots=True)
class Checkpoint(CheckpointInfo):
    """A checkpoint: `state` has its channels, `writes` what tasks wrote after it."""

    state: dict[str, Any]
    writes: list[PendingWrite]


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


@dataclass(frozen=True, slots=True)
class Grant:
    """A right of an agent on a key or subtree."""

    agent: str
    subtree: str
    right: str
    granted_by: str
    granted_at: datetime


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


@dataclass(frozen=True, slots=True)
class PolicySetting:
    """What holds for a key: a setting, its value, and the subtree whose policy sets it, None where none does."""

    setting: str
    value: Any
    subtree: str | None


@dataclass(frozen=True, slots=True)
class SearchRule:
    """What is indexed for search on a key or subtree; `ready` when what was there before is indexed too."""

    subtree: str
    fields: list[str]
    config: str
    vectors: str | None
    vector_fields: list[str] | None
    ready: bool
    set_by: str
    set_at: datetime


@dataclass(frozen=True, slots=True)
class VectorIndex:
    """A vector index: vectors of one model. `distance` is cosine, l2 or inner_product; `method` hnsw, ivfflat or exact;
    `type` vector or halfvec."""

    name: str
    model: str
    dims: int
    distance: str
    method: str
    type: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Unembedded:
    """An entry that waits for a vector of each of `texts`, by `model`, for the index `vectors`; `digest` is of these
    texts."""

    key: str
    version: int
    digest: str
    vectors: str
    model: str
    dims: int
    texts: list[str]


@dataclass(frozen=True, slots=True)
class Maintained:
    """One step of retention and indexing: `status` is ok, or busy when another client was at it; `removed` counts
    versions, None for an agent without admin on everything; `more` says that more waits."""

    status: str
    removed: int | None
    more: bool


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run. `state` is waiting, running, done, failed or cancelled; `step` the step that was finished last, `steps`
    how many are; `holder` and `lease_until` who works on it. `result` and `input` where they are JSON."""

    key: str
    name: str | None
    state: str
    step: str | None
    steps: int
    holder: str | None
    lease_until: datetime | None
    attempts: int
    priority: int
    ready_at: datetime | None
    deadline: datetime | None
    error: str | None
    result: Any
    input: Any
    code: str | None
    parent: str | None
    forked_from: str | None
    forked_step: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class StepInfo:
    """A step of a run. `kind` is step, map, sleep, signal, child, now or undo, `state` pending, done or failed;
    `position` the how many-eth of the code it is; `attempts` how often who finished it tried; `due_at` until when it
    sleeps, or waits for a signal; `token` that of the worker that recorded it. `result` where it is JSON."""

    step: str
    name: str
    kind: str
    state: str
    position: int | None
    result: Any
    error: str | None
    attempts: int
    started_at: datetime
    finished_at: datetime | None
    due_at: datetime | None
    token: int | None


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
