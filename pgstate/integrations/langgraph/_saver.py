"""`PgStateSaver`: LangGraph's checkpoints as pgstate's threads."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from pgstate import State
from pgstate import sync as sync_client
from pgstate.integrations.langgraph._context import run_async, run_sync
from pgstate.integrations.langgraph._opening import Opening
from pgstate.integrations.langgraph._threads import Threads
from pgstate.integrations.langgraph._turns import OnConflict, Turns, writer_of
from pgstate.sync._bridge import each_async, each_sync

T = TypeVar("T")
_STRATEGIES = ("keep_latest", "delete")
# what LangGraph's strict mode leaves out, and only holds data: items of stores, and what chains of LangChain hand on
_DATA = {
    "langgraph.store.base": ("SearchItem",),
    "pgstate.integrations.langgraph": ("StoredItem", "StoredSearchItem"),
    "langchain_core.agents": ("AgentAction", "AgentActionMessageLog", "AgentFinish", "AgentStep"),
    "langchain_core.prompt_values": (
        "StringPromptValue",
        "ImagePromptValue",
        "ChatPromptValue",
        "ChatPromptValueConcrete",
    ),
    "langchain_core.outputs.generation": ("Generation", "GenerationChunk"),
    "langchain_core.outputs.chat_generation": ("ChatGeneration", "ChatGenerationChunk"),
    "langchain_core.outputs.chat_result": ("ChatResult",),
    "langchain_core.outputs.llm_result": ("LLMResult",),
}
_KNOWN = tuple((module, name) for module, names in _DATA.items() for name in names)


def strict(allow: Iterable[type | tuple[str, ...]] = ()) -> JsonPlusSerializer:
    """LangGraph's serializer, which makes only types that are known to be safe, and those in `allow`."""
    return JsonPlusSerializer(allowed_msgpack_modules=(*_KNOWN, *allow))


class PgStateSaver(BaseCheckpointSaver[str]):
    """LangGraph's checkpointer on pgstate: `builder.compile(checkpointer=PgStateSaver(state))`.

    Each thread is an entry of kind thread under `prefix` (`pgstate.key(prefix, thread_id)`), with all that holds for
    entries: grants, the feed, time to live, `state.thread(key)`. What did not change since an earlier checkpoint is not
    stored again. Sync and async methods may be called from any thread and loop, sync ones on the state's own loop too;
    those take a state that was made with an address, or one of `pgstate.sync`.

    `serde` is strict unless one is given: of what is stored only types are made that are known to be safe, those in
    `allow`, and those of the graph where LANGGRAPH_STRICT_MSGPACK is set; others come back as plain data. With an
    EncryptedSerializer values, metadata and what surrounds them are unreadable in the database, strings and numbers
    too; readable are names of channels, namespaces and tasks, ids, sizes and times. Lists are then filtered by metadata
    here, after decryption, and runs that are deleted are found by a digest of their id.

    `on_conflict` says what becomes of runs on one thread at the same time, each of which would overwrite what the other
    has added: None as in LangGraph, the last one wins; "refuse" raises CheckpointConflict in all but one; "wait" has
    each wait until the one before has ended, up to `wait` seconds (ClaimHeld), or until `lease` seconds after its
    process died; `update_state` waits, too. A node that updates its own thread, or runs a graph on it with another
    config than the node's, waits for its own run, in vain. Time travel, by a checkpoint_id, is no conflict. What a run
    that is refused had written on the checkpoint that another went on from stays there, and may become part of that
    one's state: updates by Command, and those of DeltaChannels with durability="exit" or by `update_state`. With "wait"
    it does not.

    A save that comes behind a thread's deletion raises CheckpointMissing, and does not bring it back. So does any
    behind a checkpoint that is not there: what is copied from another saver goes in the oldest first, the first of it
    without a parent.
    """

    def __init__(
        self,
        state: State | sync_client.State,
        *,
        prefix: str = "threads",
        serde: SerializerProtocol | None = None,
        allow: Iterable[type | tuple[str, ...]] = (),
        on_conflict: OnConflict = None,
        lease: float = 30.0,
        wait: float = 60.0,
    ) -> None:
        super().__init__(serde=serde or strict(allow))
        self._opening: Opening[PgStateSaver] = Opening.of(state)
        self._threads = Threads(prefix)
        self._turns = Turns(on_conflict, lease, wait)

    @classmethod
    def from_conn_string(cls, conn_string: str, *, pipeline: bool = False, **options: Any) -> Opening[PgStateSaver]:
        """As that of LangGraph's savers: `with PgStateSaver.from_conn_string(dsn) as saver:`, or `async with`,
        connects, and closes the connections at the end. `options` are those of PgStateSaver; `pipeline` has no effect.
        """
        return Opening.at(conn_string, lambda opening: cls._opened(opening, **options))

    @classmethod
    def _opened(cls, opening: Opening[PgStateSaver], **options: Any) -> PgStateSaver:
        saver = cls(cast(State, None), **options)
        saver._opening = opening
        return saver

    def setup(self) -> Any:
        """Migrates the database, if this saver was made with an address and there is need. Any number of processes may
        do so at once. To be awaited, except in `with` and with a state of `pgstate.sync`."""
        return self._opening.setup()

    # reading

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `aget_tuple`."""
        return self._run(self._reading(config))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, the latest of its namespace if it names none; None if there is none."""
        return await self._arun(self._reading(config))

    def _reading(self, config: RunnableConfig) -> Callable[[State], Coroutine[Any, Any, CheckpointTuple | None]]:
        run = self._turns.note(config, self._threads.key(config))

        async def read(state: State) -> CheckpointTuple | None:
            await self._turns.begin(state, self._threads.key(config), run, writer_of(config))
            return await self._threads.get(state, self.serde, config)

        return read

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """As `alist`."""
        serde = self.serde
        return each_sync(self._opening.state, lambda s: self._threads.listed(s, serde, config, filter, before, limit))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Checkpoints, newest first, a page at a time as they are taken: of a thread (of one namespace, if `config`
        says which), or of all threads under the prefix. `filter` is contained in their metadata."""
        serde = self.serde
        async for found in each_async(
            self._opening.state, lambda s: self._threads.listed(s, serde, config, filter, before, limit)
        ):
            yield found

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """As `aget_delta_channel_history`."""
        return self._run(lambda s: self._threads.delta_history(s, self.serde, config, channels))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """What was written to channels on the way to a checkpoint, since they were last stored whole; one statement."""
        return await self._arun(lambda s: self._threads.delta_history(s, self.serde, config, channels))

    # writing

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `aput`."""
        return self._run(self._putting(config, checkpoint, metadata, new_versions))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Saves a checkpoint behind the one that `config` names, and returns a configuration that names the new one; a
        checkpoint with its id is replaced. Raises CheckpointConflict, CheckpointMissing, ClaimHeld."""
        return await self._arun(self._putting(config, checkpoint, metadata, new_versions))

    def _putting(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> Callable[[State], Coroutine[Any, Any, RunnableConfig]]:
        key = self._threads.key(config)
        expected = self._turns.expected(config, key, metadata.get("source"))
        update = self._turns.update(key)
        known = get_serializable_checkpoint_metadata(config, metadata)

        async def put(state: State) -> RunnableConfig:
            async with self._turns.for_save(state, config, key, update):
                return await self._threads.put(state, self.serde, config, checkpoint, known, new_versions, expected)

        return put

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As `aput_writes`."""
        self._run(self._writing(config, writes, task_id, task_path))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keeps what a task wrote after the checkpoint that `config` names, once."""
        await self._arun(self._writing(config, writes, task_id, task_path))

    def _writing(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> Callable[[State], Coroutine[Any, Any, None]]:
        async def write(state: State) -> None:
            await self._threads.put_writes(state, self.serde, config, writes, task_id, task_path)
            self._turns.wrote(config, self._threads.key(config), [channel for channel, _ in writes])

        return write

    def delete_thread(self, thread_id: str) -> None:
        """As `adelete_thread`."""
        self._run(lambda s: self._deleting(s, thread_id))

    async def adelete_thread(self, thread_id: str) -> None:
        """Deletes a thread with all its namespaces."""
        await self._arun(lambda s: self._deleting(s, thread_id))

    async def _deleting(self, state: State, thread_id: str) -> None:
        await self._threads.delete(state, thread_id)
        await self._turns.forget(state, self._threads.key_of(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """As `adelete_for_runs`."""
        self._run(lambda s: self._threads.delete_runs(s, run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Deletes the checkpoints that runs made, in all threads that the agent may write."""
        await self._arun(lambda s: self._threads.delete_runs(s, run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """As `acopy_thread`."""
        self._run(lambda s: self._threads.copy(s, source_thread_id, target_thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copies a thread, all its checkpoints, namespaces and writes, without copying what they hold."""
        await self._arun(lambda s: self._threads.copy(s, source_thread_id, target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """As `aprune`."""
        self._run(self._pruning(thread_ids, strategy))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keeps only the latest checkpoint of each namespace, and before it what its DeltaChannels are made of, but
        nothing of calls of subgraphs by checkpoints that go; or, with the strategy "delete", nothing."""
        await self._arun(self._pruning(thread_ids, strategy))

    def _pruning(self, thread_ids: Sequence[str], strategy: str) -> Callable[[State], Coroutine[Any, Any, None]]:
        if isinstance(thread_ids, str):
            raise TypeError("thread_ids is a sequence of thread ids, not one text")
        if strategy not in _STRATEGIES:
            raise ValueError(f"unknown strategy {strategy!r}: {' or '.join(_STRATEGIES)}")

        async def prune(state: State) -> None:
            for thread_id in thread_ids:
                if strategy == "delete":
                    await self._deleting(state, thread_id)
                else:
                    await self._threads.prune(state, self.serde, thread_id)

        return prune

    # the rest

    def get_next_version(self, current: str | None, channel: None) -> str:
        """The next version of a channel: a number that rises, and a random one that tells branches apart."""
        # other savers number by integers
        number = int(str(current).split(".")[0]) if current is not None else 0
        return f"{number + 1:032}.{random.random():016}"

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> PgStateSaver:
        """A shallow copy, on the same connections, that makes these types too."""
        return cast(PgStateSaver, super().with_allowlist(extra_allowlist))

    def key(self, thread_id: str) -> str:
        """The key of a thread: `state.thread(saver.key(thread_id))`, though it takes this saver's `serde` to read."""
        return self._threads.key_of(thread_id)

    def _run(self, work: Callable[[State], Coroutine[Any, Any, T]]) -> T:
        return run_sync(self._opening.state, work)

    async def _arun(self, work: Callable[[State], Coroutine[Any, Any, T]]) -> T:
        return await run_async(self._opening.state, work)
