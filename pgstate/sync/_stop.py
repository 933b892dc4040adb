"""How loops of work are told to stop, by a thread's event or a signal."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from pgstate.sync import _loop

T = TypeVar("T")
_LOOK = 0.05  # seconds


def until_told(
    stop: threading.Event | None, signals: Sequence[int], work: Callable[[asyncio.Event], Awaitable[T]]
) -> T:
    """What `work` returns, whose event is set when the thread's is, or a signal comes."""
    stopping = stop or threading.Event()

    async def run() -> T:
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        next_look: list[asyncio.TimerHandle] = []

        def look() -> None:
            # a thread's event cannot be awaited
            if stopping.is_set():
                told.set()
            else:
                next_look[:] = [loop.call_later(_LOOK, look)]

        look()
        try:
            return await work(told)
        finally:
            for timer in next_look:
                timer.cancel()

    with _on_signals(signals, stopping.set):
        return _loop.current().run(run())


@contextmanager
def _on_signals(signals: Sequence[int], call: Callable[[], None]) -> Iterator[None]:
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in signals:
                before = signal.signal(number, lambda *_: call())
                stack.callback(signal.signal, number, signal.SIG_DFL if before is None else before)
        yield
