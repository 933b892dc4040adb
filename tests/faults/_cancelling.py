"""Cancels a coroutine where it waits: at its first suspension, at its second, and so on, until it gets to its end."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Generator
from typing import Any

# "waiting": at once, what it waits for has not come; "answered": it has come, and the coroutine does not know it yet
MOMENTS = ["waiting", "answered"]


@types.coroutine
def _watched(awaitable: Awaitable[Any], at: int, moment: str) -> Generator[Any, Any, tuple[int, Any]]:
    steps = awaitable.__await__()
    task = asyncio.current_task()
    assert task is not None
    count = 0
    error: BaseException | None = None
    value: Any = None
    while True:
        try:
            waits_for = steps.send(value) if error is None else steps.throw(error)
        except StopIteration as end:
            return count, end.value
        count += 1
        error = None
        if count == at:
            if moment == "answered" and waits_for is not None:
                # before the task's own callback, which is added when it gets this
                waits_for.add_done_callback(lambda _: task.cancel())
            else:
                task.cancel()
        try:
            value = yield waits_for
        except BaseException as told:
            error = told


async def _wrapped(awaitable: Awaitable[Any], at: int, moment: str) -> tuple[int, Any]:
    return await _watched(awaitable, at, moment)


async def cancelled_at(awaitable: Awaitable[Any], at: int, moment: str) -> bool:
    """Runs it in a task of its own, which is cancelled at its `at`-th suspension. False when it had fewer. What it raised
    besides is raised."""
    running = asyncio.create_task(_wrapped(awaitable, at, moment), name="the cancelled")
    async with asyncio.timeout(120):
        done, _ = await asyncio.wait([running])
    (task,) = done
    if task.cancelled():
        return True
    count, _ = task.result()
    # one that was cancelled and came to its end nevertheless has more steps to go
    return bool(count >= at)
