"""Threads that the application's functions are called in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class CallThreads(ThreadPoolExecutor):
    """Calls functions for as long as anybody waits for them. The standard one refuses them once the main thread has
    ended, though others go on, and has the process wait at its end for what nobody waits for: these are daemons."""

    def __init__(self, most: int, name: str) -> None:
        super().__init__(most)
        self._most = most
        self._name = name
        self._begun = 0
        self._free = threading.Semaphore(0)
        self._calls: SimpleQueue[_Call] = SimpleQueue()

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Called in one thread only, that of the loop."""
        call = _Call(function, args, kwargs)
        future = call.future
        if self._free.acquire(blocking=False) or self._begun == self._most:
            self._calls.put(call)
        else:
            CallThread(target=self._work, args=([call],), name=f"{self._name}_{self._begun}", daemon=True).start()
            self._begun += 1
        return future

    def _work(self, first: list[_Call]) -> None:
        call = first.pop()
        while True:
            call()
            # it holds what the function was given
            del call
            try:
                call = self._calls.get_nowait()
            except Empty:
                self._free.release()
                call = self._calls.get()


class CallThread(threading.Thread):
    """One that the loop waits for, which is no thread of the application's."""


class _Call:
    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self.future: Future[Any] = Future()
        self._function = function
        self._args = args
        self._kwargs = kwargs

    def __call__(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            value = self._function(*self._args, **self._kwargs)
        except BaseException as error:
            self.future.set_exception(error)
            # its traceback has this frame
            del self
        else:
            self.future.set_result(value)
