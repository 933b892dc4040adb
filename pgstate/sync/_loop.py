"""The background event loop of this process, which runs what synchronous callers wait for."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Generic, TypeVar

from pgstate import _in_thread as in_thread
from pgstate import errors
from pgstate._areas import _run
from pgstate.sync._threads import CallThread, CallThreads

T = TypeVar("T")

# The application's own functions wait for as long as they like, and for each other.
_MOST_THREADS = 1000
_FAREWELL = 5.0  # seconds


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._threads = CallThreads(_MOST_THREADS, "pgstate-call")
        # for names of hosts
        self._loop.set_default_executor(self._threads)
        self._thread = threading.Thread(target=self._serve, name="pgstate-sync", daemon=True)
        self._thread.start()
        self._ending: set[asyncio.Task[Any]] = set()
        # what is to be ended with the process
        self.at_exit: dict[object, Callable[[], Coroutine[Any, Any, None]]] = {}
        self._ends = False
        # in a process that was forked from this one's
        self.left = False

    def _serve(self) -> None:
        while True:
            # a task that SystemExit or KeyboardInterrupt ends lets it out of the loop as well, which others wait for
            with suppress(SystemExit, KeyboardInterrupt):
                self._loop.run_forever()

    def run(self, work: Coroutine[Any, Any, T], *, whole: bool = False) -> T:
        """What a coroutine returns or raises. An exception in this thread meanwhile (KeyboardInterrupt) cancels it,
        unless `whole` says that it gives something back, and is raised when it has ended."""
        if over() or self.left:
            work.close()
            raise errors.Closed(
                "this belongs to the process that this one was forked from" if self.left else "the process is ending"
            )
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError(
                "pgstate.sync was called on its own event loop, which cannot wait for itself: "
                "give it a plain function in place of the coroutine function"
            )
        done: Outcome[T] = Outcome()
        task: list[asyncio.Task[T]] = []

        def start() -> None:
            task.append(self._loop.create_task(work))
            task[0].add_done_callback(done.end_as)

        def stop() -> None:
            # called behind start, if that was reached
            if not task and whole:
                start()
            elif not task:
                work.close()
                done.end(asyncio.CancelledError())
            elif not whole:
                task[0].cancel()

        try:
            self._loop.call_soon_threadsafe(start)
            done.wait()
        except BaseException:
            if not done.ended:
                self._loop.call_soon_threadsafe(stop)
            done.wait()
            raise
        if done.error is None:
            return done.value
        error, done.error = done.error, None
        task.clear()
        try:
            if isinstance(error, Passed):
                raise error.error from None
            if self._ends and isinstance(error, errors.Closed) and _is_not_waited_for():
                # it ends with the process, without a word
                raise SystemExit from error
            raise error
        finally:
            # its traceback has this frame
            del error

    def give_back(self, work: Coroutine[Any, Any, T], *, whole: bool = True) -> T | None:
        """As `run`, what gives something back. On the loop's own thread, where the garbage collector may end a block as
        on any other, nobody waits for it."""
        if threading.current_thread() is not self._thread:
            return self.run(work, whole=whole)

        def start() -> None:
            task = self._loop.create_task(work)
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

        # the loop may be about anything just now
        self._loop.call_soon_threadsafe(start)
        return None

    def may_wait(self) -> bool:
        """May the caller wait for it? The garbage collector calls from any thread, after a fork, at the end."""
        return not (over() or self.left or threading.current_thread() is self._thread)

    async def awaited(self, work: Coroutine[Any, Any, T]) -> T:
        """What a coroutine returns or raises, to a caller on another loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def in_thread(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """What a function of the application's returns, called in a thread, where it may wait, for pgstate.sync too. It
        has the context of whoever called."""

        def call() -> T:
            try:
                return in_thread.call(function, *args, **kwargs)
            except Exception:
                raise
            except BaseException as error:
                # as it is it would end the loop
                raise Passed(error) from None

        context = copy_context()
        # which is the asynchronous client's
        context.run(_run.current.set, None)
        return await self._loop.run_in_executor(self._threads, context.run, call)

    def end(self) -> None:
        """At the end of the process: closes what is open, as far as that goes in a few seconds."""
        self._ends = True

        async def close() -> None:
            closing = [self._loop.create_task(close()) for close in list(self.at_exit.values())]
            if closing:
                await asyncio.wait(closing, timeout=_FAREWELL)

        self.run(close())


def _is_not_waited_for() -> bool:
    thread = threading.current_thread()
    return thread.daemon and not isinstance(thread, CallThread)


class Outcome(Generic[T]):
    """What a task has come to, for the thread that waits for it. The lock is a bare one: an interrupt in the code of a
    Future, which is Python, can leave that locked, and then the loop waits for ever to tell it."""

    def __init__(self) -> None:
        self.ended = False
        self.error: BaseException | None = None
        self.value: T
        self._gate = threading.Lock()
        self._gate.acquire()

    def wait(self) -> None:
        """Waits for the end."""
        while not self.ended:
            self._gate.acquire()

    def end_as(self, task: asyncio.Task[T]) -> None:
        """As the task has ended. Called on the loop, as the next."""
        if task.cancelled():
            self.end(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self.end(error)
        else:
            self.value = task.result()
            self.end(None)

    def end(self, error: BaseException | None) -> None:
        """By an error, or well."""
        self.error = error
        self.ended = True
        self._gate.release()


class Passed(Exception):
    """What is no Exception, on its way through the loop."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


_current: Loop | None = None
_guard = threading.Lock()
# Loops of the processes that this one was forked from, with all that hangs on them. They share their sockets and their
# epoll with the parent: not even the garbage collector may close them here.
_left_alone: list[object] = []


def current() -> Loop:
    """The loop of this process, started when it is first needed."""
    global _current
    if _current is None:
        with _guard:
            if _current is None:
                _current = Loop()
                atexit.register(_current.end)
    return _current


def over() -> bool:
    """The interpreter is ending what is left (generators, objects): the loop's thread does not run any more, who waited
    for it would wait for ever, and what is open ends with the process."""
    return sys.is_finalizing()


def _forked() -> None:
    global _current, _guard
    if _current is not None:
        _current.left = True
        _left_alone.append(_current)
        atexit.unregister(_current.end)
    _current, _guard = None, threading.Lock()


os.register_at_fork(after_in_child=_forked)


def leave_alone(thing: object) -> None:
    """Keeps something of the parent's process, unused, for as long as this one lives."""
    _left_alone.append(thing)


def called_in_thread(function: Callable[..., Any] | None) -> Any:
    """A function of the application's, as the asynchronous client may call it; a coroutine function stays one."""
    if function is None or inspect.iscoroutinefunction(function):
        return function

    async def call(*args: Any) -> Any:
        return await current().in_thread(function, *args)

    return call
