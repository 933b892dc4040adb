"""Lists of checkpoints, page by page: what their headers say at once, what they hold when it is looked at."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from langgraph.checkpoint.base import Checkpoint, PendingWrite
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import TASKS

from pgstate import State, errors
from pgstate._calls import threads as calls
from pgstate._codec import decode
from pgstate.integrations.langgraph import _records as records
from pgstate.integrations.langgraph._rows import SENDS_BELOW, add_sends, chunks_in
from pgstate.types import Row

_log = logging.getLogger("pgstate")
_FIRST_PAGE, _PAGE = 20, 200
_MOST = 32 << 20  # bytes of what the checkpoints of a page hold, of several


@dataclass(frozen=True)
class _Parts:
    """The chunks of several checkpoints, and the writes after each."""

    chunks: Mapping[bytes, tuple[str, bytes]]
    writes: Mapping[str, list[tuple[str, str, str, bytes]]]
    failed: errors.ValueTooLarge | None = None

    def written(self, id_: str, serde: SerializerProtocol) -> list[PendingWrite]:
        return [(task, name, serde.loads_typed((type_, data))) for task, name, type_, data in self.writes.get(id_, ())]


@dataclass(frozen=True)
class _Header:
    """A row without what its chunks hold, and what its header says."""

    row: Row
    around: dict[str, Any]
    metadata: dict[str, Any]

    @property
    def sends_from(self) -> str | None:
        """The checkpoint whose writes hold what was sent to this one, in old formats."""
        parent: str | None = self.row["parent"]
        return parent if self.around["v"] < SENDS_BELOW else None


@dataclass(frozen=True)
class Found:
    """A checkpoint of a list."""

    _header: _Header
    _parts: _Parts
    _serde: SerializerProtocol

    @property
    def row(self) -> Row:
        """Its key, namespace, id and parent."""
        return self._header.row

    @property
    def metadata(self) -> dict[str, Any]:
        """Its metadata."""
        return self._header.metadata

    def load(self) -> tuple[Checkpoint, list[PendingWrite]]:
        """The checkpoint, and the writes after it."""
        if self._parts.failed is not None:
            raise self._parts.failed
        row, sends_from = self.row, self._header.sends_from
        values = decode(row["names"], row["types"], row["data"], self._parts.chunks, self._serde)
        checkpoint: dict[str, Any] = {**self._header.around, "channel_values": values}
        if sends_from:
            add_sends(checkpoint, [w for w in self._parts.written(sends_from, self._serde) if w[1] == TASKS])
        return cast(Checkpoint, checkpoint), self._parts.written(row["id"], self._serde)


class Listing:
    """The checkpoints of all keys of a pattern, or of one namespace of theirs, the newest first. `before` and `asked`
    are ids, `filter` is of metadata."""

    def __init__(
        self,
        state: State,
        serde: SerializerProtocol,
        pattern: str,
        ns: str | None = None,
        *,
        before: str | None = None,
        asked: str | None = None,
        filter: dict[str, Any] | None = None,
        limit: int | None = None,
    ) -> None:
        if asked is not None and (before is None or before > asked):
            before = asked + "\x01"  # begins with the one that is asked for
        self._state = state
        self._serde = serde
        self._pattern = pattern
        self._ns = ns
        self._asked = asked
        self._filter = filter
        self._encrypted = records.encrypts(serde)
        self._left = limit
        # (id, key, namespace) behind which the next page begins
        self._place: tuple[str | None, str | None, str | None] = (before, None, None)
        self._size = _FIRST_PAGE
        self._left_out: set[str] = set()
        self.over = limit is not None and limit <= 0

    async def next(self) -> list[Found]:
        """The next page; it may be empty though `over` is not true yet."""
        serde, filter, asked = self._serde, self._filter, self._asked
        if self._left is not None and not (filter and self._encrypted):
            self._size = min(self._size, self._left)
        page = self._fitting(await self.rows())
        headers = [header for row in page if (header := self._header(row)) is not None]
        # what the database could not read, or not all of
        headers = [one for one in headers if not filter or records.contains(one.metadata, filter)]
        headers = [one for one in headers if asked in (None, one.row["id"])][: self._left]
        if asked is not None and page and page[-1]["id"] < asked:
            self.over = True
        if self._left is not None:
            self._left -= len(headers)
            self.over = self.over or self._left <= 0
        parts = await self._all_parts(headers)
        return [Found(one, parts[one.row["key"], one.row["ns"]], serde) for one in headers]

    def _header(self, row: Row) -> _Header | None:
        """None for one that cannot be read, where others are asked for too: whoever may write there has saved it."""
        try:
            return _Header(row, *records.restore(self._serde, row["id"], row["header"], row["metadata"]))
        except errors.PgStateError as error:
            if self._pattern == row["key"]:
                raise
            if row["key"] not in self._left_out:
                self._left_out.add(row["key"])
                _log.warning("the list of threads leaves out checkpoints of %s: %s", row["key"], error)
            return None

    def _fitting(self, page: Sequence[Row]) -> Sequence[Row]:
        """As much of a page as can be read at once, though the checkpoints are large; the next begins behind it."""
        size = 0
        for number, row in enumerate(page):
            size += row["size"]
            if number and size > _MOST:
                last = page[number - 1]
                self._place, self.over = (last["id"], last["key"], last["ns"]), False
                return page[:number]
        return page

    async def rows(self) -> Sequence[Row]:
        """The next page as the database has it, without what the checkpoints hold."""
        filter, encrypted = self._filter, self._encrypted
        id_, key, ns = self._place
        # with encryption, checkpoints of before that have their runs in plain words: all are looked at
        run_id = (filter or {}).get("run_id") if not encrypted else None
        with self._state._to(f"list the threads {self._pattern}", "read"):
            page = await self._state._core.call(
                lambda c, left: calls.checkpoints(
                    c,
                    self._pattern,
                    self._ns,
                    id_,
                    self._size,
                    records.filter_text(filter) if filter and not encrypted else None,
                    records.searchable_run(run_id),
                    self._state._agent,
                    key,
                    ns,
                    timeout=left,
                ),
                self._state._timeout,
            )
        if len(page) < self._size:
            self.over = True
        else:
            self._place, self._size = (page[-1]["id"], page[-1]["key"], page[-1]["ns"]), _PAGE
        return page

    async def _all_parts(self, headers: Sequence[_Header]) -> dict[tuple[str, str], _Parts]:
        """What these hold, for each thread and namespace among them."""
        ids: dict[tuple[str, str], list[str]] = {}
        for one in headers:
            wanted = ids.setdefault((one.row["key"], one.row["ns"]), [])
            wanted.append(one.row["id"])
            if one.sends_from:
                wanted.append(one.sends_from)
        fetched = await asyncio.gather(*(self._parts_or_why(*place, wanted) for place, wanted in ids.items()))
        return dict(zip(ids, fetched, strict=True))

    async def _parts_or_why(self, key: str, ns: str, ids: list[str]) -> _Parts:
        """What they hold; or why it is not to be had at once, which whoever looks at one of them is told."""
        try:
            return await self._parts(key, ns, ids)
        except errors.ValueTooLarge as error:
            return _Parts({}, {}, error)

    async def _parts(self, key: str, ns: str, ids: list[str]) -> _Parts:
        state = self._state
        row = await state._core.call(
            lambda c, left: calls.checkpoint_parts(c, key, ids, ns, state._agent, timeout=left), state._timeout
        )
        writes: dict[str, list[tuple[str, str, str, bytes]]] = {}
        for id_, *write in zip(
            *(row[f"write_{name}"] or () for name in ("checkpoints", "task_ids", "channels", "types", "data")),
            strict=True,
        ):
            writes.setdefault(id_, []).append(tuple(write))
        return _Parts(chunks_in(row), writes)
