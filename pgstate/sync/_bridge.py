"""For integrations, whose users call synchronous and asynchronous methods of one object from any thread and loop.

Work is a function of a State, because the one that it gets may be another than the given one: the loop of that may be
blocked by the very caller, who waits for threads that wait for this (LangGraph's `graph.invoke` in a coroutine). So
synchronous callers never wait for it, but for a client on the loop of `pgstate.sync`."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeAlias, TypeVar

from pgstate import client
from pgstate._core import Core
from pgstate.sync import _loop
from pgstate.sync._proxy import MOST_AHEAD, each, some
from pgstate.sync._state import State

T = TypeVar("T")
AnyState: TypeAlias = client.State | State

_making = threading.Lock()


def _forked() -> None:
    global _making
    _making = threading.Lock()


os.register_at_fork(after_in_child=_forked)


def run_sync(state: AnyState, work: Callable[[client.State], Coroutine[Any, Any, T]]) -> T:
    """What `work(state)` returns, to a synchronous caller in any thread, that of the state's own loop too. Raises
    InvalidArgument for an asynchronous state that has its connections from a pool or an engine."""
    return _loop.current().run(work(_near(state)))


def each_sync(state: AnyState, items: Callable[[client.State], AsyncIterator[T]]) -> Iterator[T]:
    """What `items(state)` yields, likewise."""
    return each(items(_near(state)))


async def run_async(state: AnyState, work: Callable[[client.State], Coroutine[Any, Any, T]]) -> T:
    """What `work(state)` returns, to a caller on any loop: on the state's own it is awaited as it is."""
    if isinstance(state, client.State) and state._core.loop is asyncio.get_running_loop():
        return await work(state)
    return await _loop.current().awaited(work(_near(state)))


async def each_async(state: AnyState, items: Callable[[client.State], AsyncIterator[T]]) -> AsyncIterator[T]:
    """What `items(state)` yields, likewise."""
    if isinstance(state, client.State) and state._core.loop is asyncio.get_running_loop():
        async for item in items(state):
            yield item
        return
    source, count, loop = items(_near(state)), 1, _loop.current()
    try:
        more = True
        while more:
            found, more = await loop.awaited(some(source, count))
            for item in found:
                yield item
            count = min(2 * count, MOST_AHEAD)
    finally:
        if (close := getattr(source, "aclose", None)) is not None:
            await loop.awaited(close())


def _near(state: AnyState) -> client.State:
    """The state, or one like it, on the loop of `pgstate.sync`."""
    if isinstance(state, State):
        own = state._its
        assert isinstance(own, client.State)
        return own
    core = state._core
    twin: tuple[int, Core] | None = core.kept.get(_near)
    if twin is None or twin[0] != os.getpid():
        with _making:
            twin = core.kept.get(_near)
            if twin is None or twin[0] != os.getpid():
                core.kept[_near] = twin = os.getpid(), _twin(core)
    return client.State(twin[1], state._agent, state._prefix, state._timeout)


def _twin(core: Core) -> Core:
    core._check_open()
    loop = _loop.current()

    async def make() -> Core:
        return core.elsewhere()

    async def close() -> None:
        loop.at_exit.pop(made, None)
        await loop.awaited(made.close())

    made = loop.run(make())
    loop.at_exit[made] = made.close
    core.at_close.append(close)
    return made
