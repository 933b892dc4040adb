"""Saving and reading checkpoints in SQL tests."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextvars import ContextVar
from typing import Any

import asyncpg
import pytest

from pgstate._codec import Chunk, Encoded, decode, encode
from sql._caller import Caller

# stored as a chunk
LONG = "a long value " * 40


# whether saves go as one row of several, between two that are refused
among_others = ContextVar("among_others", default=False)


@pytest.fixture(autouse=True, params=[False, True], ids=["alone", "among others"])
def among(request: pytest.FixtureRequest) -> Iterator[None]:
    """What holds for a save holds for one of several in a statement."""
    among_others.set(request.param)
    yield
    among_others.set(False)


async def save(caller: Caller, key: str, state: dict[str, Any], *, known: Collection[bytes] = (), **named: Any) -> Any:
    """Saves with all chunks but the known ones."""
    encoded = encode(state)
    sent = [chunk for digest, chunk in encoded.chunks.items() if digest not in known]
    if among_others.get():
        return await _save_among_others(caller, key, encoded, sent, **named)
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


_COLUMNS = {
    "metadata": "metadatas",
    "id": "ids",
    "parent": "parents",
    "ns": "namespaces",
    "header": "headers",
    "whole": "wholes",
    "expect_head": "expect_heads",
    "ttl": "ttls",
    "run_id": "run_ids",
    "token": "tokens",
    "may_begin": "may_begins",
}


async def _save_among_others(caller: Caller, key: str, encoded: Encoded, sent: list[Chunk], **named: Any) -> Any:
    columns = {_COLUMNS[name]: [None, value, None] for name, value in named.items() if name in _COLUMNS}
    columns.setdefault("ids", [None] * 3)[2] = "x" * 257
    if (guard := named.get("guard")) is not None:
        columns |= {"guard_counts": [1, len(guard), None], "guards": ["a", *guard]}
    if (versions := named.get("versions")) is not None:
        columns["versions"] = ["1", *versions, "1"]
    shared = {name: value for name, value in named.items() if name in ("lane", "turn", "wake", "lock_timeout", "agent")}
    before, row, after = await caller.rows(
        "save_checkpoints",
        ["not//a key", key, "beside"],
        [1, len(encoded.names), 1],
        ["a", *encoded.names, "a"],
        ["json", *encoded.types, "json"],
        [b"1", *encoded.data, b"2"],
        chunk_counts=[1, len(sent), 1],
        chunk_types=["json", *(type_ for type_, _ in sent), "json"],
        chunk_data=[b"one", *(data for _, data in sent), b"two"],
        **columns,
        **shared,
    )
    assert (before["ord"], before["status"], before["code"]) == (1, "invalid", "PS001")
    assert (after["ord"], after["code"] in ("PS007", "PS010"), after["id"]) == (3, True, None)
    if row["code"] is not None:
        assert row["message"]
        raise asyncpg.PostgresError.new({"C": row["code"], "M": row["message"]})
    return row


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
