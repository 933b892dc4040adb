"""The worker loop: claims, runs a handler, completes, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import math
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from pgstate._areas._base import said
from pgstate._areas._held import Task
from pgstate._areas._uncancelled import failing_unless_cancelled
from pgstate._calls._run import OUTAGES
from pgstate._outage import Outage
from pgstate.types import Seconds

if TYPE_CHECKING:
    from pgstate._areas.claims import Claims

_log = logging.getLogger("pgstate")
Handler = Callable[[Task], Any]


class Work:
    """One `work()` call: some workers that share the waiting."""

    def __init__(
        self,
        area: Claims,
        pattern: str,
        handler: Handler,
        lease: Seconds,
        move_to: str | None,
        stop: asyncio.Event | None,
        min_trust: str | None,
    ) -> None:
        self._area = area
        self._pattern = pattern
        self._handler = handler
        self._lease = lease
        self._move_to = move_to
        self._min_trust = min_trust
        self._stop = stop or asyncio.Event()
        # workers that wait for work: when it is time to stop they have nothing to finish
        self._idle: set[asyncio.Task[Any]] = set()
        self._outage = Outage(f"work on {pattern}")
        self._done = 0

    async def run(self, concurrency: int, signals: Sequence[int]) -> int:
        """Returns how many were completed, when it was told to stop and those under way have ended."""
        loop = asyncio.get_running_loop()
        with ExitStack() as stack:
            for number in signals:
                stack.enter_context(_on_signal(loop, number, self._stop.set))
            try:
                await self._run(concurrency)
            except BaseExceptionGroup as failed:
                # they all ask the same, and what one is refused, all are
                raise failed.exceptions[0] from None
        return self._done

    async def _run(self, concurrency: int) -> None:
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._worker(), name="pgstate-work") for _ in range(concurrency)]
            stopping = group.create_task(self._stop.wait())
            stopping.add_done_callback(lambda _: [worker.cancel() for worker in self._idle])
            try:
                await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            finally:
                stopping.cancel()

    async def _worker(self) -> None:
        me = asyncio.current_task()
        assert me is not None
        pause = 0.05
        while not self._stop.is_set():
            claiming = self._area.claim_next(self._pattern, self._lease, wait=math.inf, min_trust=self._min_trust)
            self._idle.add(me)
            try:
                task = await claiming.__aenter__()
            except asyncio.CancelledError:
                if self._stop.is_set() and me.uncancel() == 0:
                    return
                raise
            except OUTAGES as error:
                self._outage.lost(error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._stop.wait()
                pause = min(pause * 2, 2.0)
                continue
            finally:
                self._idle.discard(me)
            pause = 0.05
            self._outage.over()
            if task is not None:
                await self._handle(claiming, task)

    async def _handle(self, claiming: Any, task: Task) -> None:
        try:
            try:
                with failing_unless_cancelled():
                    result = self._handler(task)
                    if isawaitable(result):
                        result = await result
                if not task._settled and not task.lost:
                    await task.complete(result if self._move_to is not None else None, move_to=self._move_to)
            except BaseException as error:
                await claiming.__aexit__(type(error), error, error.__traceback__)
                raise
            await claiming.__aexit__(None, None, None)
            self._done += task._completed
        except Exception as error:
            # the task has failed, or another worker has it: not the loop's end
            _log.warning("%s failed in attempt %d: %s", task.key, task.attempts, said(error))


class _Heard:
    """A signal that some loops of work listen to, and what it did before."""

    def __init__(self, before: Any) -> None:
        self.before = before
        self.calls: list[Callable[[], None]] = []

    def __call__(self) -> None:
        for call in list(self.calls):
            call()


_heard: dict[tuple[asyncio.AbstractEventLoop, int], _Heard] = {}


@contextmanager
def _on_signal(loop: asyncio.AbstractEventLoop, number: int, call: Callable[[], None]) -> Iterator[None]:
    """While the block runs, a signal calls this in place of what it did; not outside the main thread, nor where the
    loop cannot do it, nor where the application's own handler could not be put back: one that a loop calls."""
    heard = _heard.get((loop, number))
    if heard is None:
        heard = _Heard(signal.getsignal(number))
        try:
            theirs = heard.before is None or _is_of_a_loop(heard.before)
            if not theirs:
                loop.add_signal_handler(number, heard)
        except (NotImplementedError, RuntimeError, ValueError):
            theirs = True
        if theirs:
            yield
            return
        _heard[loop, number] = heard
    heard.calls.append(call)
    try:
        yield
    finally:
        heard.calls.remove(call)
        if not heard.calls:
            del _heard[loop, number]
            loop.remove_signal_handler(number)
            signal.signal(number, heard.before)


def _is_of_a_loop(handler: Any) -> bool:
    """add_signal_handler() leaves a placeholder of the loop's own as the handler."""
    return str(getattr(handler, "__module__", "")).partition(".")[0] in ("asyncio", "uvloop")
