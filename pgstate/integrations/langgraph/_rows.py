"""Rows of the database as what LangGraph's checkpoints are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langgraph.checkpoint.base import PendingWrite
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import TASKS

from pgstate import State
from pgstate._codec import Chunk, reached
from pgstate.integrations.langgraph._memory import Root
from pgstate.types import Row

SENDS_BELOW = 4  # the format since which a checkpoint holds what was sent


def roots_in(row: Row, versions: Mapping[str, Any], chunks: Mapping[bytes, Chunk]) -> dict[str, Root]:
    """What a checkpoint's root has of each channel."""
    return {
        name: Root(versions.get(name), type_, data, frozenset(reached(type_, data, chunks)))
        for name, type_, data in zip(row["names"], row["types"], row["data"], strict=True)
        if type_ is not None
    }


def chunks_in(row: Row) -> dict[bytes, Chunk]:
    """The chunks that come with it, by their hashes."""
    pairs = zip(row["chunk_types"] or (), row["chunk_data"] or (), strict=True)
    return dict(zip(row["chunk_hashes"] or (), pairs, strict=True))


def sealing(state: State, serde: SerializerProtocol) -> SerializerProtocol:
    """With the client's encryption, if it has any. Of one origin for all threads: a saver copies and lists them."""
    return cast(SerializerProtocol, state._core.guard.sealed(serde, "langgraph"))


def writes_in(row: Row, serde: SerializerProtocol) -> list[PendingWrite]:
    """The writes that follow it."""
    columns = (row[f"write_{name}"] or () for name in ("task_ids", "channels", "types", "data"))
    return [(task, name, serde.loads_typed((type_, data))) for task, name, type_, data in zip(*columns, strict=True)]


def add_sends(checkpoint: dict[str, Any], sends: Sequence[PendingWrite]) -> None:
    """What the parent's tasks sent is a channel of its own since format 4."""
    if sends:
        versions = checkpoint["channel_versions"]
        checkpoint["channel_values"][TASKS] = [value for _, _, value in sends]
        checkpoint["channel_versions"] = {**versions, TASKS: max(versions.values()) if versions else 1}
