"""LangGraph's threads in pgstate's: what each method of the saver does on a state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.types import TASKS

from pgstate import State, errors
from pgstate._areas._threads import save
from pgstate._calls import threads as calls
from pgstate._codec import Chunk, Encoded, Leaves, decode, encode, reached
from pgstate._guard import Guard
from pgstate._keys import check_key
from pgstate.integrations.langgraph import _records as records
from pgstate.integrations.langgraph._memory import Memory, Place, Root, Seen
from pgstate.integrations.langgraph._names import segment_of, text_of
from pgstate.integrations.langgraph._turns import looks
from pgstate.types import Row

_SENDS_BELOW = 4  # the format since which a checkpoint holds what was sent
_FIRST_PAGE, _PAGE = 20, 200
# in the namespace of a call of a subgraph, before the id of its task; one that keeps its state between calls has none
_CALL = ":"


class Threads:
    """What a saver keeps for all its shallow copies: where its threads are, and what it knows of what they hold."""

    def __init__(self, prefix: str) -> None:
        self._prefix = check_key(prefix)
        self._memory = Memory()
        self._encrypting: records.Remembering | None = None

    # names

    def key(self, config: RunnableConfig) -> str:
        """The key of the thread that a configuration names."""
        return self.key_of(config["configurable"]["thread_id"])

    def key_of(self, thread_id: Any) -> str:
        if thread_id is None:
            # a session that has none yet would share the thread "None" with all others
            raise errors.InvalidKey("thread_id is None: each thread has an id of its own")
        return _key_of(self._prefix, str(thread_id))

    def _thread_id(self, key: str) -> str:
        return text_of(key.rsplit("/", 1)[-1])

    # saving

    async def put(
        self,
        state: State,
        serde: SerializerProtocol,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: Mapping[str, Any],
        new_versions: ChannelVersions,
        expected: str | None,
    ) -> RunnableConfig:
        serde, named = _sealing(state, serde), config["configurable"]
        key, ns, parent = self.key(config), named.get("checkpoint_ns") or "", named.get("checkpoint_id") or ""
        versions, place = checkpoint["channel_versions"], (state._agent, state._key(key), ns)
        if (detection := state._core.guard.detection) is not None:
            for name in new_versions.keys() & checkpoint["channel_values"].keys():
                await detection.written(state._key(key), checkpoint["channel_values"][name])
        coder, seen = self._coder(serde), self._memory.last(place)
        open_ = records.incomplete(checkpoint, metadata)
        outside = records.surround(serde, checkpoint, metadata, state._core.guard, encrypted=records.encrypts(serde))
        known = frozenset[bytes]().union(*(root.hashes for root in seen.roots.values()))
        # channels that the parent has already, at the same version, need not be looked at
        kept = (
            {}
            if seen.id != parent
            else {
                name: root
                for name, root in seen.roots.items()
                if name not in new_versions and root.version == versions.get(name)
            }
        )
        for again in (False, True):
            encoded, roots = _encoded(
                checkpoint, {} if again else kept, open_, coder, state._core.guard, known, self._memory.leaves(place)
            )
            with state._to(f"save the thread {key}", "read and write"):
                row = await save(
                    state._core,
                    state._agent,
                    state._key(key),
                    encoded,
                    metadata=outside.metadata,
                    timeout=state._timeout,
                    ns=ns,
                    id=checkpoint["id"],
                    parent=parent,
                    header=outside.header,
                    whole=not open_,
                    expect_head=expected,
                    run_id=outside.run_id,
                    # LangGraph starts subgraphs in a run whose thread was deleted: that must not bring it back. (They
                    # may be saved before the run itself has been, which then has seen nothing of the thread.)
                    may_begin=not (ns and metadata.get("parents") and self._memory.last(self._root(state, key)).id),
                    have=() if again else known,
                )
            if row["status"] != "incomplete":
                break
            # what was taken to be there is not: the thread was pruned, or deleted and begun anew
        if row["status"] != "ok":
            # where it was, but not what it had
            self._memory.keep(place, Seen(seen.id, {}))
            raise _refused(row, key, parent)
        self._memory.keep(place, Seen(checkpoint["id"], roots), encoded.leaves)
        return self._config(named["thread_id"], ns, checkpoint["id"])

    async def put_writes(
        self,
        state: State,
        serde: SerializerProtocol,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str,
    ) -> None:
        if not writes:
            return
        serde, named, key = _sealing(state, serde), config["configurable"], self.key(config)
        if (detection := state._core.guard.detection) is not None:
            for _, value in writes:
                await detection.written(state._key(key), value)
        # of two writes of one special channel the later one counts, as it does when they are saved apart
        rows = {
            WRITES_IDX_MAP.get(name, idx): (name, *serde.dumps_typed(value)) for idx, (name, value) in enumerate(writes)
        }
        special = all(name in WRITES_IDX_MAP for name, _ in writes)
        with state._to(f"save the thread {key}", "read and write"):
            await state._core.call(
                lambda c, left: calls.put_writes(
                    c,
                    state._key(key),
                    named["checkpoint_id"],
                    task_id,
                    [*rows],
                    [name for name, _, _ in rows.values()],
                    [type_ for _, type_, _ in rows.values()],
                    [state._core.guard.typed(type_, bytes(data)) for _, type_, data in rows.values()],
                    named.get("checkpoint_ns") or "",
                    task_path,
                    special,
                    state._agent,
                    timeout=left,
                ),
                state._timeout,
            )

    # reading

    async def get(self, state: State, serde: SerializerProtocol, config: RunnableConfig) -> CheckpointTuple | None:
        serde, named, key = _sealing(state, serde), config["configurable"], self.key(config)
        ns, id_ = named.get("checkpoint_ns") or "", named.get("checkpoint_id") or None
        row = await self._row(state, key, id_, ns)
        if row["status"] != "ok":
            if id_ is None:
                self._memory.forget((state._agent, state._key(key), ns))
            return None
        coder = self._coder(serde)
        chunks = _chunks(row)
        around, metadata = records.restore(serde, row["id"], row["header"], row["metadata"])
        checkpoint = {**around, "channel_values": decode(row["names"], row["types"], row["data"], chunks, coder)}
        place = state._agent, state._key(key), ns
        # what the next save is to come after was read before
        if not (looks(config) and self._memory.last(place).id):
            self._memory.keep(place, Seen(row["id"], _roots(row, around["channel_versions"], chunks)))
        if checkpoint["v"] < _SENDS_BELOW and row["parent"]:
            parent = await self._row(state, key, row["parent"], ns)
            _add_sends(checkpoint, [write for write in _writes(parent, coder) if write[1] == TASKS])
        return CheckpointTuple(
            self._config(named["thread_id"], ns, row["id"]),
            checkpoint,  # type: ignore[arg-type]
            metadata,  # type: ignore[arg-type]
            self._config(named["thread_id"], ns, row["parent"]) if row["parent"] else None,
            _writes(row, coder),
        )

    async def _row(self, state: State, key: str, id_: str | None, ns: str) -> Row:
        with state._to(f"read the thread {key}", "read"):
            return await state._core.call(
                lambda c, left: calls.get_checkpoint(c, state._key(key), id_, ns, state._agent, timeout=left),
                state._timeout,
            )

    async def listed(
        self,
        state: State,
        serde: SerializerProtocol,
        config: RunnableConfig | None,
        filter: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> AsyncIterator[CheckpointTuple]:
        named: Mapping[str, Any] = config["configurable"] if config else {}
        asked, ns = named.get("checkpoint_id") or None, named.get("checkpoint_ns")
        serde = _sealing(state, serde)
        encrypted = records.encrypts(serde)
        place = _Place(before["configurable"].get("checkpoint_id") if before else None)
        if asked is not None and (place.id is None or place.id > asked):
            place = _Place(asked + "\x01")  # begins with the one that is asked for
        pattern = state._key(self.key(config)) if config else state._pattern(f"{self._prefix}/*")
        left, size = limit, _FIRST_PAGE
        while left is None or left > 0:
            if left is not None and not (filter and encrypted):
                size = min(size, left)
            page = await self._page(state, pattern, ns, place, size, filter, encrypted)
            found = [_Found(row, *records.restore(serde, row["id"], row["header"], row["metadata"])) for row in page]
            # what the database could not read, or not all of
            found = [one for one in found if not filter or records.contains(one.metadata, filter)]
            found = [one for one in found if asked in (None, one.row["id"])][:left]
            parts = await self._parts(state, found)
            for one in found:
                thread_id = named["thread_id"] if config else self._thread_id(one.row["key"])
                yield records.Listed.of(
                    self._config(thread_id, one.row["ns"], one.row["id"]),
                    one.metadata,
                    self._config(thread_id, one.row["ns"], one.row["parent"]) if one.row["parent"] else None,
                    partial(self._load, one, parts[one.row["key"], one.row["ns"]], serde),
                )
            if len(page) < size or (asked is not None and page[-1]["id"] < asked):
                return
            left = None if left is None else left - len(found)
            place, size = _Place(page[-1]["id"], page[-1]["key"], page[-1]["ns"]), _PAGE

    async def _parts(self, state: State, found: Sequence[_Found]) -> dict[tuple[str, str], _Parts]:
        """What these hold, for each thread and namespace among them."""
        ids: dict[tuple[str, str], list[str]] = {}
        for one in found:
            wanted = ids.setdefault((one.row["key"], one.row["ns"]), [])
            wanted.append(one.row["id"])
            if one.sends_from:
                wanted.append(one.sends_from)
        fetched = await asyncio.gather(*(self._parts_of(state, *place, wanted) for place, wanted in ids.items()))
        return dict(zip(ids, fetched, strict=True))

    async def _parts_of(self, state: State, key: str, ns: str, ids: list[str]) -> _Parts:
        row = await state._core.call(
            lambda c, left: calls.checkpoint_parts(c, key, ids, ns, state._agent, timeout=left), state._timeout
        )
        writes: dict[str, list[tuple[str, str, str, bytes]]] = {}
        for id_, *write in zip(
            *(row[f"write_{name}"] or () for name in ("checkpoints", "task_ids", "channels", "types", "data")),
            strict=True,
        ):
            writes.setdefault(id_, []).append(tuple(write))
        return _Parts(_chunks(row), writes)

    def _load(self, found: _Found, parts: _Parts, serde: SerializerProtocol) -> tuple[Checkpoint, list[PendingWrite]]:
        row = found.row
        values = decode(row["names"], row["types"], row["data"], parts.chunks, serde)
        checkpoint: dict[str, Any] = {**found.around, "channel_values": values}
        if found.sends_from:
            _add_sends(checkpoint, [w for w in parts.written(found.sends_from, serde) if w[1] == TASKS])
        return cast(Checkpoint, checkpoint), parts.written(row["id"], serde)

    async def _page(
        self,
        state: State,
        pattern: str,
        ns: str | None,
        place: _Place,
        size: int,
        filter: dict[str, Any] | None,
        encrypted: bool,
    ) -> Sequence[Row]:
        # with encryption, checkpoints of before that have their runs in plain words: all are looked at
        run_id = (filter or {}).get("run_id") if not encrypted else None
        with state._to(f"list the threads {pattern}", "read"):
            return await state._core.call(
                lambda c, left: calls.checkpoints(
                    c,
                    pattern,
                    ns,
                    place.id,
                    size,
                    records.filter_text(filter) if filter and not encrypted else None,
                    records.searchable_run(run_id),
                    state._agent,
                    place.key,
                    place.ns,
                    timeout=left,
                ),
                state._timeout,
            )

    async def delta_history(
        self, state: State, serde: SerializerProtocol, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        if not channels:
            return {}
        serde, named, key = _sealing(state, serde), config["configurable"], self.key(config)
        with state._to(f"read the thread {key}", "read"):
            row = await state._core.call(
                lambda c, left: calls.channel_history(
                    c,
                    state._key(key),
                    [*dict.fromkeys(channels)],
                    named.get("checkpoint_id") or None,
                    named.get("checkpoint_ns") or "",
                    state._agent,
                    timeout=left,
                ),
                state._timeout,
            )
        coder = self._coder(serde)
        found: dict[str, DeltaChannelHistory] = {channel: {"writes": []} for channel in channels}
        for write in _writes(row, coder):
            found[write[1]]["writes"].append(write)
        seeds = decode(row["seed_channels"] or [], row["seed_types"] or [], row["seed_data"] or [], _chunks(row), coder)
        for channel, seed in seeds.items():
            found[channel]["seed"] = seed
        return found

    # threads as a whole

    async def delete(self, state: State, thread_id: Any) -> None:
        await state.thread(self.key_of(thread_id)).delete()

    async def prune(self, state: State, serde: SerializerProtocol, thread_id: Any) -> None:
        thread = state.thread(self.key_of(thread_id))
        await thread.prune(everywhere=True)
        if over := await self._over(state, _sealing(state, serde), state._key(self.key_of(thread_id))):
            await thread._prune(1, None, None, over)

    async def _over(self, state: State, serde: SerializerProtocol, key: str) -> list[str]:
        """What calls of subgraphs have left in a thread that was pruned: only the checkpoint that a call came from
        leads there, and it went."""
        spaces: dict[str, list[str]] = {}
        roots: dict[str, str] = {}
        place = _Place(None)
        while True:
            page = await self._page(state, key, None, place, _PAGE, None, False)
            for row in page:
                ns, id_ = row["ns"], row["id"]
                if _CALL in ns and ns not in spaces:
                    parents = records.restore(serde, id_, row["header"], row["metadata"])[1].get("parents")
                    roots[ns] = str(parents.get("") or "") if isinstance(parents, Mapping) else ""
                spaces.setdefault(ns, []).append(id_)
            if len(page) < _PAGE:
                break
            place = _Place(page[-1]["id"], page[-1]["key"], page[-1]["ns"])
        # one under way may be saved before what it came from, whose id is a later one then
        latest = spaces[""][0] if "" in spaces else ""
        return [id_ for ns, root in roots.items() if root and root < latest for id_ in spaces[ns]]

    async def delete_runs(self, state: State, run_ids: Sequence[str]) -> None:
        await state.delete_runs([name for run_id in run_ids for name in (str(run_id), records.digest(str(run_id)))])

    async def copy(self, state: State, source: Any, target: Any) -> None:
        with suppress(errors.CheckpointMissing):
            await state.thread(self.key_of(source)).fork(None, self.key_of(target), history=True)

    # what all of them need

    def _root(self, state: State, key: str) -> Place:
        return state._agent, state._key(key), ""

    def _config(self, thread_id: Any, ns: str, id_: str) -> RunnableConfig:
        return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ns, "checkpoint_id": id_}}

    def _coder(self, serde: SerializerProtocol) -> SerializerProtocol:
        """What values are written and read with."""
        if type(serde) is not EncryptedSerializer:
            return serde
        if self._encrypting is None or self._encrypting.serde is not serde:
            self._encrypting = records.Remembering(serde)
        return self._encrypting


@lru_cache(maxsize=1024)
def _key_of(prefix: str, thread_id: str) -> str:
    try:
        return check_key(f"{prefix}/{segment_of(thread_id)}")
    except errors.InvalidKey as error:
        raise errors.InvalidKey(f"a thread's id is quoted, behind {prefix}/, and does not fit there: {error}") from None


@dataclass(frozen=True)
class _Place:
    """Behind which checkpoint a page begins."""

    id: str | None
    key: str | None = None
    ns: str | None = None


@dataclass(frozen=True)
class _Found:
    """A checkpoint of a list: the row without what its chunks hold, and what its header says."""

    row: Row
    around: dict[str, Any]
    metadata: dict[str, Any]

    @property
    def sends_from(self) -> str | None:
        """The checkpoint whose writes hold what was sent to this one, in old formats."""
        parent: str | None = self.row["parent"]
        return parent if self.around["v"] < _SENDS_BELOW else None


@dataclass(frozen=True)
class _Parts:
    """The chunks of several checkpoints, and the writes after each."""

    chunks: Mapping[bytes, tuple[str, bytes]]
    writes: Mapping[str, list[tuple[str, str, str, bytes]]]

    def written(self, id_: str, serde: SerializerProtocol) -> list[PendingWrite]:
        return [(task, name, serde.loads_typed((type_, data))) for task, name, type_, data in self.writes.get(id_, ())]


def _encoded(
    checkpoint: Checkpoint,
    kept: Mapping[str, Root],
    open_: Sequence[str],
    serde: SerializerProtocol,
    guard: Guard,
    known: Collection[bytes],
    before: Mapping[str, Leaves],
) -> tuple[Encoded, dict[str, Root]]:
    """What to save of the channels, and what of it to remember. `kept` are roots of channels that are there already;
    `open_` names channels that have a version and no value. `known` are hashes of what is there, `before` what lists
    were made of."""
    encoded, roots = Encoded(), dict[str, Root]()
    for name, value in checkpoint["channel_values"].items():
        root = kept.get(name)
        if root is None:
            one = encode({name: value}, serde, guard=guard, passed=known, before=before)
            encoded.chunks.update(one.chunks)
            encoded.leaves.update(one.leaves)
            root = Root(
                checkpoint["channel_versions"].get(name), str(one.types[0]), one.data[0] or b"", frozenset(one.chunks)
            )
        elif name in before:
            encoded.leaves[name] = before[name]
        encoded.add(name, root.type, root.data, None)
        roots[name] = root
    for name in open_:
        encoded.add(name, None, None, None)
    return encoded, roots


def _roots(row: Row, versions: Mapping[str, Any], chunks: Mapping[bytes, Chunk]) -> dict[str, Root]:
    return {
        name: Root(versions.get(name), type_, data, frozenset(reached(type_, data, chunks)))
        for name, type_, data in zip(row["names"], row["types"], row["data"], strict=True)
        if type_ is not None
    }


def _chunks(row: Row) -> dict[bytes, tuple[str, bytes]]:
    pairs = zip(row["chunk_types"] or (), row["chunk_data"] or (), strict=True)
    return dict(zip(row["chunk_hashes"] or (), pairs, strict=True))


def _sealing(state: State, serde: SerializerProtocol) -> SerializerProtocol:
    """With the client's encryption, if it has any. Of one origin for all threads: a saver copies and lists them."""
    return cast(SerializerProtocol, state._core.guard.sealed(serde, "langgraph"))


def _writes(row: Row, serde: SerializerProtocol) -> list[PendingWrite]:
    columns = (row[f"write_{name}"] or () for name in ("task_ids", "channels", "types", "data"))
    return [(task, name, serde.loads_typed((type_, data))) for task, name, type_, data in zip(*columns, strict=True)]


def _add_sends(checkpoint: dict[str, Any], sends: Sequence[PendingWrite]) -> None:
    """What the parent's tasks sent is a channel of its own since format 4."""
    if sends:
        versions = checkpoint["channel_versions"]
        checkpoint["channel_values"][TASKS] = [value for _, _, value in sends]
        checkpoint["channel_versions"] = {**versions, TASKS: max(versions.values()) if versions else 1}


def _refused(row: Row, key: str, parent: str) -> errors.Conflict:
    if row["status"] == "conflict":
        return errors.CheckpointConflict(
            f"somebody else went on with the thread {key}: its latest checkpoint is {row['head'] or 'none'}, "
            f"not {parent or 'none'}",
            key,
            row["head"],
        )
    if row["status"] == "held":
        return errors.ClaimHeld(f"the thread {key} is claimed by somebody", key)
    return errors.CheckpointMissing(
        f"the thread {key} was deleted, or the checkpoint to go on from was: {parent or 'none'}", key
    )
