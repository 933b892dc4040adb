"""Threads through the client."""

from __future__ import annotations

from typing import Any

import pytest

import pgstate
from client.conftest import Connect, MakeLogin
from pgstate import State, errors


async def ids(thread: pgstate.Thread, **options: Any) -> list[str]:
    return [point.id async for point in thread.history(**options)]


@pytest.mark.core
async def test_save_and_resume(state: State) -> None:
    thread = state.thread("research/t-1")
    assert await thread.latest() is None
    first = await thread.save({"step": 1, "messages": ["a"]}, metadata={"step": 1})
    second = await thread.save({"step": 2, "messages": ["a", "b" * 600]}, metadata={"step": 2, "run_id": "r"})
    found = await state.thread("research/t-1").latest()
    assert found is not None
    assert (found.id, found.parent, found.state) == (second, first, {"step": 2, "messages": ["a", "b" * 600]})
    assert (found.metadata, found.key, found.writer) == ({"step": 2, "run_id": "r"}, "research/t-1", "admin")
    old = await thread.get(first)
    assert old is not None and old.state == {"step": 1, "messages": ["a"]}
    assert await thread.get("nothing") is None
    assert await ids(thread) == [second, first]
    assert await ids(thread, limit=1) == [second]
    assert await ids(thread, before=second) == [first]
    assert await ids(thread, where={"step": 1}) == [first]
    (info,) = await state.threads("research/*")
    assert (info.key, info.checkpoint, info.checkpoints, info.version) == ("research/t-1", second, 2, 2)
    entry = await state.get("research/t-1")
    assert entry is not None and entry.kind == "thread" and entry.value["checkpoint"] == second
