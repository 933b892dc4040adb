"""Checkpoints as LangGraph's loop makes them, without a graph."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, Checkpoint, CheckpointTuple
from langgraph.checkpoint.base.id import uuid6


def at(thread: str, checkpoint_id: str | None = None, ns: str = "", **more: Any) -> RunnableConfig:
    """The configuration that names a thread, or one checkpoint of it."""
    named = {"thread_id": thread, "checkpoint_ns": ns, **more}
    return {"configurable": named if checkpoint_id is None else {**named, "checkpoint_id": checkpoint_id}}


def make(values: dict[str, Any], versions: dict[str, Any] | None = None, *, v: int = 4, **more: Any) -> Checkpoint:
    """A checkpoint with these channels, all at version 1 unless said otherwise."""
    return Checkpoint(
        v=v,
        id=str(uuid6(clock_seq=-2)),
        ts="2026-11-25T00:00:00+00:00",
        channel_values=values,
        channel_versions=dict.fromkeys(values, 1) if versions is None else versions,
        versions_seen={},
        updated_channels=None,
        **more,
    )


async def put(
    saver: BaseCheckpointSaver[Any],
    config: RunnableConfig,
    values: dict[str, Any],
    versions: dict[str, Any] | None = None,
    *,
    new: dict[str, Any] | None = None,
    **metadata: Any,
) -> RunnableConfig:
    """Saves one behind the checkpoint that `config` names, all its channels new unless `new` says otherwise."""
    checkpoint = make(values, versions)
    found: Any = {"source": "loop", "step": 0, "parents": {}, **metadata}
    return await saver.aput(config, checkpoint, found, checkpoint["channel_versions"] if new is None else new)


async def read(saver: BaseCheckpointSaver[Any], config: RunnableConfig) -> CheckpointTuple:
    found = await saver.aget_tuple(config)
    assert found is not None
    return found


def id_of(config: RunnableConfig) -> str:
    return str(config["configurable"]["checkpoint_id"])


async def ids(saver: BaseCheckpointSaver[Any], config: RunnableConfig | None, **options: Any) -> list[str]:
    """Of what `alist` gives, in its order."""
    return [found.checkpoint["id"] async for found in saver.alist(config, **options)]


async def until_saved(saver: BaseCheckpointSaver[Any], config: RunnableConfig, count: int) -> None:
    """Until so many checkpoints are there: a graph's loop saves in the background, beside the node that it runs."""
    async with asyncio.timeout(60):
        while len(await ids(saver, config)) < count:
            await asyncio.sleep(0.01)
