"""Saving and reading checkpoints in SQL tests."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pgstate._codec import decode, encode
from sql._caller import Caller

# stored as a chunk
LONG = "a long value " * 40


async def save(caller: Caller, key: str, state: dict[str, Any], *, known: Collection[bytes] = (), **named: Any) -> Any:
    """Saves with all chunks but the known ones."""
    encoded = encode(state)
    sent = [chunk for digest, chunk in encoded.chunks.items() if digest not in known]
    return await caller(
        "save_checkpoint",
        key,
        encoded.names,
        encoded.types,
        encoded.data,
        chunk_types=[type_ for type_, _ in sent],
        chunk_data=[data for _, data in sent],
        **named,
    )


async def saved(caller: Caller, key: str, state: dict[str, Any], **named: Any) -> str:
    """Saves, which must go well; the id."""
    row = await save(caller, key, state, **named)
    assert row["status"] == "ok", row
    return str(row["id"])


async def load(caller: Caller, key: str, id: str | None = None, ns: str = "") -> Any:
    """The state of a checkpoint, None if it is not there."""
    row = await caller("get_checkpoint", key, id, ns)
    if row["status"] == "missing":
        return None
    chunks = dict(zip(row["chunk_hashes"], zip(row["chunk_types"], row["chunk_data"], strict=True), strict=True))
    return decode(row["names"], row["types"], row["data"], chunks)


def hashes(state: dict[str, Any]) -> set[bytes]:
    """Those of the chunks of a state."""
    return set(encode(state).chunks)


async def ids(caller: Caller, pattern: str, **named: Any) -> list[str]:
    return [row["id"] for row in await caller.rows("checkpoints", pattern, **named)]
