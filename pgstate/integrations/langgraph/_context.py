"""Calls that do not hold on to the run that they are made in. What a call leaves behind (a connection, a task, the
driver's timers, also those that were cancelled) keeps the context that it was made in, and in a node that has the
configuration of the run, and by it the run with all its state. A turn ends when nothing holds its run any more."""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any, TypeVar, cast

from langchain_core.runnables.config import var_child_runnable_config

from pgstate import State
from pgstate.sync import _bridge
from pgstate.sync._bridge import AnyState

T = TypeVar("T")


def run_sync(state: AnyState, work: Callable[[State], Coroutine[Any, Any, T]]) -> T:
    """As that of pgstate.sync._bridge."""
    return _apart().run(_bridge.run_sync, state, work)


async def run_async(state: AnyState, work: Callable[[State], Coroutine[Any, Any, T]]) -> T:
    """As that of pgstate.sync._bridge."""
    return await _within(_apart(), _bridge.run_async(state, work))


def _apart() -> Context:
    """The caller's context without LangGraph's configuration."""
    context = copy_context()
    context.run(var_child_runnable_config.set, None)
    return context


@types.coroutine
def _within(context: Context, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Runs a coroutine in a context, without a task, which would cost ten times as much."""
    step: Callable[[Any], Any] = work.send
    given: Any = None
    while True:
        try:
            waiting = context.run(step, given)
        except StopIteration as done:
            return cast(T, done.value)
        try:
            given = yield waiting
            step = work.send
        except BaseException as error:
            step, given = work.throw, error
