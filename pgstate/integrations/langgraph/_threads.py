"""LangGraph's threads in pgstate's: what each method of the saver does on a state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.types import TASKS

from pgstate import State, errors
from pgstate._areas._threads import save
from pgstate._calls import threads as calls
from pgstate._codec import Encoded, Leaves, decode, encode
from pgstate._guard import Guard
from pgstate._keys import check_key
from pgstate.integrations.langgraph import _records as records
from pgstate.integrations.langgraph._listing import Listing
from pgstate.integrations.langgraph._memory import Memory, Place, Root, Seen
from pgstate.integrations.langgraph._names import segment_of, text_of
from pgstate.integrations.langgraph._rows import SENDS_BELOW, add_sends, chunks_in, roots_in, sealing, writes_in
from pgstate.integrations.langgraph._turns import looks, thread_of_run
from pgstate.types import Row

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
        serde, named = sealing(state, serde), config["configurable"]
        key, ns, parent = self.key(config), named.get("checkpoint_ns") or "", named.get("checkpoint_id") or ""
        versions, place = checkpoint["channel_versions"], (state._agent, state._key(key), ns)
        elsewhere = thread_of_run(config) not in (None, str(named["thread_id"]))
        if elsewhere and parent == (named.get("checkpoint_map") or {}).get(ns):
            parent = ""  # which is of the run's own thread
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
            taken = {} if again else kept
            encoded, roots = _encoded(
                checkpoint, taken, open_, coder, state._core.guard, known, self._memory.leaves(place)
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
                    whole=taken.keys() >= set(open_),
                    expect_head=expected,
                    run_id=outside.run_id,
                    # LangGraph starts subgraphs in a run whose thread was deleted: that must not bring it back. (They
                    # may be saved before the run itself has been, which then has seen nothing of the thread. Or the
                    # run is on another thread, and a node calls a graph on this one with its own configuration.)
                    may_begin=not (
                        ns
                        and metadata.get("parents")
                        and not elsewhere
                        and self._memory.last(self._root(state, key)).id
                    ),
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
        serde, named, key = sealing(state, serde), config["configurable"], self.key(config)
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
        serde, named, key = sealing(state, serde), config["configurable"], self.key(config)
        ns, id_ = named.get("checkpoint_ns") or "", named.get("checkpoint_id") or None
        row = await self._row(state, key, id_, ns)
        if row["status"] != "ok":
            if id_ is None:
                self._memory.forget((state._agent, state._key(key), ns))
            return None
        coder = self._coder(serde)
        chunks = chunks_in(row)
        around, metadata = records.restore(serde, row["id"], row["header"], row["metadata"])
        checkpoint = {**around, "channel_values": decode(row["names"], row["types"], row["data"], chunks, coder)}
        place = state._agent, state._key(key), ns
        # what the next save is to come after was read before
        if not (looks(config) and self._memory.last(place).id):
            self._memory.keep(place, Seen(row["id"], roots_in(row, around["channel_versions"], chunks)))
        if checkpoint["v"] < SENDS_BELOW and row["parent"]:
            parent = await self._row(state, key, row["parent"], ns)
            add_sends(checkpoint, [write for write in writes_in(parent, coder) if write[1] == TASKS])
        return CheckpointTuple(
            self._config(named["thread_id"], ns, row["id"]),
            checkpoint,  # type: ignore[arg-type]
            metadata,  # type: ignore[arg-type]
            self._config(named["thread_id"], ns, row["parent"]) if row["parent"] else None,
            writes_in(row, coder),
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
        listing = Listing(
            state,
            sealing(state, serde),
            state._key(self.key(config)) if config else state._pattern(f"{self._prefix}/*"),
            named.get("checkpoint_ns"),
            before=before["configurable"].get("checkpoint_id") if before else None,
            asked=named.get("checkpoint_id") or None,
            filter=filter,
            limit=limit,
        )
        while not listing.over:
            for one in await listing.next():
                thread_id = named["thread_id"] if config else self._thread_id(one.row["key"])
                yield records.Listed.of(
                    self._config(thread_id, one.row["ns"], one.row["id"]),
                    one.metadata,
                    self._config(thread_id, one.row["ns"], one.row["parent"]) if one.row["parent"] else None,
                    one.load,
                )

    async def delta_history(
        self, state: State, serde: SerializerProtocol, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        if not channels:
            return {}
        serde, named, key = sealing(state, serde), config["configurable"], self.key(config)
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
        for write in writes_in(row, coder):
            found[write[1]]["writes"].append(write)
        seeds = decode(
            row["seed_channels"] or [], row["seed_types"] or [], row["seed_data"] or [], chunks_in(row), coder
        )
        for channel, seed in seeds.items():
            found[channel]["seed"] = seed
        return found

    # threads as a whole

    async def delete(self, state: State, thread_id: Any) -> None:
        await state.thread(self.key_of(thread_id)).delete()

    async def prune(self, state: State, serde: SerializerProtocol, thread_id: Any) -> None:
        thread = state.thread(self.key_of(thread_id))
        await thread.prune(everywhere=True)
        if over := await self._over(state, sealing(state, serde), state._key(self.key_of(thread_id))):
            await thread._prune(1, None, None, over)

    async def _over(self, state: State, serde: SerializerProtocol, key: str) -> list[str]:
        """What calls of subgraphs have left in a thread that was pruned: only the checkpoint that a call came from
        leads there, and it went."""
        spaces: dict[str, list[str]] = {}
        roots: dict[str, str] = {}
        listing = Listing(state, serde, key)
        while not listing.over:
            for row in await listing.rows():
                ns, id_ = row["ns"], row["id"]
                if _CALL in ns and ns not in spaces:
                    parents = records.restore(serde, id_, row["header"], row["metadata"])[1].get("parents")
                    roots[ns] = str(parents.get("") or "") if isinstance(parents, Mapping) else ""
                spaces.setdefault(ns, []).append(id_)
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
    `open_` names channels that have a version and no value: of those that nobody has written since their snapshot, that
    stays. `known` are hashes of what is there, `before` what lists were made of."""
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
        if (root := kept.get(name)) is not None:
            encoded.add(name, root.type, root.data, None)
            roots[name] = root
        else:
            encoded.add(name, None, None, None)
    return encoded, roots


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
