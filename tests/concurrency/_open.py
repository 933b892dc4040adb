"""What the tests of two sessions share: a transaction held open, and a call that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from _cases import first_of
from _sync import wait_until_blocked
from sql._caller import Caller, MakeAgent

BOTH = pytest.mark.parametrize("commits", first_of([True, False]), ids=["commit", "rollback"])
Start = Callable[[Caller, Awaitable[Any]], Awaitable["asyncio.Task[Any]"]]


@pytest.fixture
async def blocked(root: Caller) -> Start:
    """`await blocked(caller, caller("put", ...))`: the call, begun and waiting for a lock."""
    watcher = root

    async def start(caller: Caller, call: Awaitable[Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(call)
        await wait_until_blocked(watcher.connection, caller.pid)
        return task

    return start


class Open:
    """A session with a transaction under way."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.transaction = caller.transaction()

    async def end(self, commits: bool = True) -> None:
        await (self.transaction.commit() if commits else self.transaction.rollback())


@pytest.fixture
def begin(session: MakeAgent) -> Callable[..., Awaitable[Open]]:
    async def make(caller: Caller | None = None) -> Open:
        opened = Open(caller or await session())
        await opened.transaction.start()
        return opened

    return make


Begin = Callable[..., Awaitable[Open]]
