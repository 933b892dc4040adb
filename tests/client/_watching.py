"""Points in the life of a watch that a test can wait for."""

from __future__ import annotations

import asyncio
from typing import Any

from pgstate import Change, State, Watch

GUARD = 20


async def take(watch: Any, count: int) -> list[Change]:
    async with asyncio.timeout(GUARD):
        return [await anext(watch) for _ in range(count)]


async def attached(state: State, *watches: Any) -> list[asyncio.Task[Change]]:
    """The next change of each watch, which by now is one that the feed reader delivers."""
    waiting = [asyncio.ensure_future(anext(watch)) for watch in watches]
    async with asyncio.timeout(GUARD):
        for watch, task in zip(watches, waiting, strict=True):
            # a watch that is only now finding out where it begins may begin after what the test does next
            while isinstance(watch, Watch) and watch.cursor is None and not task.done():
                await asyncio.sleep(0.005)
    probe = state.watch("probe", since=await state.cursor())
    coming = asyncio.ensure_future(anext(probe))
    await state.put("probe", 1)
    await coming
    await probe.aclose()
    return waiting
