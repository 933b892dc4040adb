"""Checkpoints as the areas need them: which chunks the server has, and saving without sending those."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias

from pgstate import errors
from pgstate._bound import BoundCore
from pgstate._calls import threads
from pgstate._calls._run import Connection, outcome_error
from pgstate._codec import Chunk, Encoded, decode
from pgstate._core import WRITE_LANES, Core, NoLane
from pgstate._gather import Lane, Operation
from pgstate.types import Row

# Hashes of chunks that are remembered, of all threads of a client: some 100 bytes each.
_MOST_KNOWN = 200_000
_ATTEMPTS = 4
# Half of what PostgreSQL has room for in one value or statement, in which a checkpoint is saved and read.
_MOST_BYTES = 512 << 20
_ID = 7  # among what is said of a save

_Place: TypeAlias = "tuple[str | None, str, str]"


class Known:
    """Hashes that the server has been seen to have, by agent, thread and namespace; those used last."""

    def __init__(self, most: int = _MOST_KNOWN) -> None:
        self._most = most
        self._sets: OrderedDict[_Place, frozenset[bytes]] = OrderedDict()
        self._count = 0

    @classmethod
    def of(cls, core: Core | BoundCore) -> Known:
        """That of a client."""
        found: Known = core.kept.setdefault(cls, cls())
        return found

    @classmethod
    def share(cls, core: Core, bound: BoundCore) -> None:
        """A transaction goes by what its client knows. If it is rolled back, the server says what is missing."""
        bound.kept[cls] = cls.of(core)

    def get(self, place: _Place) -> frozenset[bytes]:
        """What is known there."""
        if place in self._sets:
            self._sets.move_to_end(place)
        return self._sets.get(place, frozenset())

    def set(self, place: _Place, hashes: frozenset[bytes]) -> None:
        """What is there now, in place of what was."""
        self._count += len(hashes) - len(self._sets.pop(place, ()))
        self._sets[place] = hashes
        while self._count > self._most:
            _, oldest = self._sets.popitem(last=False)
            self._count -= len(oldest)

    def forget(self, place: _Place) -> None:
        """Nothing is known there any more."""
        self.set(place, frozenset())


async def save(
    core: Core | BoundCore,
    agent: str | None,
    key: str,
    encoded: Encoded,
    *,
    metadata: str | None,
    timeout: float,
    ns: str = "",
    id: str | None = None,
    parent: str | None = None,
    header: bytes | None = None,
    whole: bool = True,
    expect_head: str | None = None,
    guard: Sequence[str] | None = None,
    ttl: timedelta | None = None,
    run_id: str | None = None,
    token: int | None = None,
    may_begin: bool = True,
    have: Collection[bytes] | None = None,
) -> Row:
    """Saves a checkpoint of a full key and returns its outcome, which is not incomplete; the arguments are those of
    pgstate.save_checkpoint(). Chunks that the server is thought to have are not sent, unless it says that they are
    missing. Who knows itself what it has says so by `have`; then the root may name chunks that `encoded` does not have,
    and the outcome is incomplete if the server has not either. Raises ValueTooLarge."""
    known = Known.of(core)
    place = (agent, key, ns)
    named = have is not None
    if have is None:
        have = known.get(place)
    chunks = encoded.chunks
    wanted = [digest for digest in chunks if digest not in have]
    versions = encoded.versions if any(version is not None for version in encoded.versions) else None
    told = None if guard is None else list(guard)

    queue = core.queue("save", agent, partial(_save, core, agent), lanes=WRITE_LANES)
    size = sum(len(part or b"") for part in (*encoded.data, header))
    if size + sum(len(data) for _, data in chunks.values()) > _MOST_BYTES:
        raise errors.ValueTooLarge(
            f"the checkpoint of {key} is larger than {_MOST_BYTES >> 20} MB: keep large parts elsewhere"
        )

    for _ in range(_ATTEMPTS):
        sent = [chunks[digest] for digest in wanted]
        args = (
            encoded.names,
            encoded.types,
            encoded.data,
            versions,
            [type_ for type_, _ in sent] or None,
            [data for _, data in sent] or None,
            metadata,
            id,
            parent,
            ns,
            header,
            whole,
            expect_head,
            told,
            ttl,
            run_id,
            token,
            may_begin,
        )
        row = await queue.submit(key, args, size + sum(len(data) for _, data in sent), timeout)
        if row["status"] in ("denied", "invalid"):
            raise outcome_error(row["code"], row["message"])
        if row["status"] != "incomplete":
            break
        # what was sent is there by now, unless others collect what no checkpoint names yet. It goes again, since what
        # comes with a checkpoint counts as its size. With a page comes what it names, which is most likely missing too
        if not chunks.keys() >= set(row["missing"]):
            if named:
                return row
            raise errors.InvalidArgument("the root or a page names a chunk that is not there")
        missing = [inner for digest in row["missing"] for inner in encoded.under(digest)]
        wanted = list(dict.fromkeys([*wanted, *missing]))
    else:
        raise errors.DatabaseError("chunks of the checkpoint went missing again and again", None)
    if row["status"] == "ok":
        core.stats.writes += 1
        if not named:
            known.set(place, frozenset(chunks))
    elif row["status"] == "missing":
        known.forget(place)
    return row


async def _save(
    core: Core | BoundCore,
    agent: str | None,
    batch: Sequence[Operation],
    lane: Lane | NoLane,
    lock_timeout: str | None,
    left: float,
) -> Sequence[Row]:
    """Saves that came together, in one statement."""

    async def run(connection: Connection) -> Sequence[Row]:
        if len(batch) > 1:
            saves = [(o.key, o.args) for o in batch]
            return await threads.save_checkpoints(
                connection, saves, lane.id, lane.turn, lock_timeout, agent, timeout=left
            )
        # sent again, a checkpoint with an id changes nothing, and does without the lane. Inside a transaction of the
        # caller's there is no later moment to wake anybody
        own = NoLane() if batch[0].args[_ID] is not None else lane
        wake = True if isinstance(core, BoundCore) else None
        args = (batch[0].key, batch[0].args, own.id, own.turn, lock_timeout, wake, agent)
        return [await threads.save_checkpoint(connection, *args, timeout=left)]

    rows = await core.once(run, left)
    if any(row["watched"] for row in rows):
        core.wake([o.key for o, row in zip(batch, rows, strict=True) if row["status"] == "ok"], agent)
    return rows


def chunks_of(row: Row) -> Mapping[bytes, Chunk]:
    """The chunks of a row of get_checkpoint()."""
    return dict(zip(row["chunk_hashes"], zip(row["chunk_types"], row["chunk_data"], strict=True), strict=True))


def read_json(row: Row, names: Collection[str]) -> dict[str, Any]:
    """Channels of a row of get_checkpoint() whose values are JSON, but for those that are none after all."""
    chunks = chunks_of(row)
    found: dict[str, Any] = {}
    for name, type_, data in zip(row["names"], row["types"], row["data"], strict=True):
        if name in names:
            with contextlib.suppress(errors.InvalidValue):
                found |= decode([name], [type_], [data], chunks)
    return found


def writes_of(row: Row) -> list[tuple[str, str, int, str, Chunk]]:
    """(task_id, task_path, idx, channel, typed value) of the writes after a checkpoint, in their order."""
    if row["write_idxs"] is None:
        return []
    names = ("write_task_ids", "write_task_paths", "write_idxs", "write_channels", "write_types", "write_data")
    return [
        (task, path, idx, channel, (type_, data))
        for task, path, idx, channel, type_, data in zip(*(row[name] for name in names), strict=True)
    ]
