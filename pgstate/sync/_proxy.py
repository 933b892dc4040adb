"""What the synchronous classes stand on: each has one of the asynchronous client's, run on the background loop."""

from __future__ import annotations

import asyncio
import copy
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, ClassVar, Generic, NoReturn, Self, TypeVar

from pgstate import errors
from pgstate._areas._base import Area
from pgstate.sync import _loop

A = TypeVar("A")
H = TypeVar("H")
M = TypeVar("M", bound=Area)
T = TypeVar("T")

MOST_AHEAD = 64


class Proxy(Generic[A]):
    """Safe to use from any thread. After a fork the child's is made anew when it is first used, with connections of its
    own, and the parent's is left alone."""

    # whether another process can make its own: not of what is under way
    _can_be_remade: ClassVar[bool] = True

    def __init__(self, make: Callable[[], A]) -> None:
        self._make = make
        self._pid = os.getpid()
        self._made = make()

    @property
    def _its(self) -> A:
        if self._pid != os.getpid():
            if not self._can_be_remade:
                raise errors.Closed(f"this {type(self).__name__} belongs to the process that this one was forked from")
            self._remake()
        return self._made

    def _remake(self) -> None:
        with _remaking:
            if self._pid != os.getpid():
                _loop.leave_alone(self._made)
                self._made = self._make()
                self._pid = os.getpid()

    @staticmethod
    def _run(work: Coroutine[Any, Any, T]) -> T:
        return _loop.current().run(work)

    @staticmethod
    def _each(items: AsyncIterator[T]) -> Iterator[T]:
        return each(items)


def each(items: AsyncIterator[T]) -> Iterator[T]:
    """What an asynchronous iterator yields on the loop; it is ended when this is. Each way there and back takes time:
    so after the first some are read ahead, more and more."""
    loop, count = _loop.current(), 1
    try:
        while True:
            found, more = loop.run(some(items, count))
            yield from found
            if not more:
                return
            count = min(2 * count, MOST_AHEAD)
    finally:
        if loop.left:
            _loop.leave_alone(items)
        elif (close := getattr(items, "aclose", None)) is not None and loop.may_wait():
            loop.run(close(), whole=True)


async def some(items: AsyncIterator[T], count: int) -> tuple[list[T], bool]:
    """Up to `count` items, and whether there may be more."""
    found: list[T] = []
    while len(found) < count:
        item = await _next(items)
        if isinstance(item, _End):
            return found, False
        found.append(item)
    return found, True


class _End:
    pass


_END = _End()
_remaking = threading.RLock()


def _forked() -> None:
    global _remaking
    _remaking = threading.RLock()


os.register_at_fork(after_in_child=_forked)


async def _next(items: AsyncIterator[T]) -> T | _End:
    try:
        return await anext(items)
    except StopAsyncIteration:
        return _END


def moved(made: M, beside: Area) -> M:
    """A view that was made, on the connections that another has: the same unless the process was forked since."""
    if made._core is beside._core:
        return made
    there = copy.copy(made)
    there._core = beside._core
    return there


class Stream(Proxy[A], Generic[A, T]):
    """`for` over it, or `with` to begin at once and to end for certain. What interrupts the waiting loses nothing."""

    _can_be_remade = False

    def __init__(self, make: Callable[[], A]) -> None:
        super().__init__(make)
        # what has come and was not handed out, as the waiting may be interrupted; and where it had come before that
        self._kept: deque[T | _End] = deque()
        self._before: str | None = None

    def __enter__(self) -> Self:
        self._run(self._asynchronous.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pid == os.getpid():
            self.close()

    def __iter__(self) -> Self:
        return self

    # An interrupt comes behind calls of what is not Python: there is none where something is handed out.

    def __next__(self) -> T:
        while not self._kept:
            self._fetch(None)
        item = self._kept[0]
        if item is _END:
            self._end()
        del self._kept[0]
        return item  # type: ignore[return-value]

    def next(self, timeout: float | None = None) -> T:
        """What comes next, within `timeout` seconds. Raises TimeoutError, and StopIteration after `close`."""
        while not self._kept:
            self._fetch(timeout)
        item = self._kept[0]
        if item is _END:
            self._end()
        del self._kept[0]
        return item  # type: ignore[return-value]

    def _fetch(self, timeout: float | None) -> None:
        items = self._asynchronous
        self._before = items.cursor

        async def fetch() -> None:
            async with asyncio.timeout(timeout):
                self._kept.append(await _next(items))

        _loop.current().run(fetch())

    def _end(self) -> NoReturn:
        self._kept.clear()
        raise StopIteration

    def close(self) -> None:
        """Ends it; from another thread too, whose waiting ends then."""
        if _loop.over():
            return
        _loop.current().give_back(self._asynchronous.aclose())

    @property
    def cursor(self) -> str | None:
        """Where it has come in the change feed."""
        cursor: str | None = self._before if self._kept else self._asynchronous.cursor
        return cursor

    @property
    def _asynchronous(self) -> Any:
        return self._its


class Block(Generic[H]):
    """`with` holds something, and gives it back at the end. A task of the loop has the asynchronous block open
    meanwhile. A thread cannot be cancelled: where the asynchronous block is, because a lease was lost, this one raises
    LeaseLost when it ends, `lost` tells it before, and writes with the token are refused."""

    def __init__(self, manager: AbstractAsyncContextManager[Any], show: Callable[[Any], H]) -> None:
        self._manager = manager
        self._show = show
        self._pid = os.getpid()
        self._task: asyncio.Task[None] | None = None
        self._over: asyncio.Future[None]
        self._error: BaseException | None = None

    def __enter__(self) -> H:
        self._check_process()
        if self._task is not None and not self._task.done():
            raise RuntimeError("it is under way already: make a new one for each block")
        try:
            return self._show(_loop.current().run(self._enter()))
        except BaseException:
            # interrupted when it had been entered
            if self._task is not None and not self._task.done():
                _loop.current().run(self._leave(asyncio.CancelledError()), whole=True)
            raise

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            raise errors.Closed(f"this {type(self).__name__} belongs to the process that this one was forked from")

    async def _enter(self) -> Any:
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        entered: asyncio.Future[Any] = loop.create_future()
        self._error = None
        self._task = loop.create_task(self._hold(entered))
        try:
            await asyncio.wait({entered, self._task}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._task.cancel()
            await asyncio.wait({self._task})
            raise
        if not entered.done():
            self._task.result()
        return entered.result()

    async def _hold(self, entered: asyncio.Future[Any]) -> None:
        try:
            async with self._manager as held:
                entered.set_result(held)
                await self._over
                if self._error is not None:
                    raise self._error
        except Exception as error:
            if error is not self._error:
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ended = None
        try:
            # else it is the parent's to give back, or too late
            if self._pid == os.getpid() and not _loop.over():
                ended = _loop.current().give_back(self._leave(error))
        except BaseException:
            # interrupted before it had begun to end
            if self._task is not None and not self._task.done():
                _loop.current().give_back(self._leave(asyncio.CancelledError()))
            raise
        finally:
            if error is not None:
                error.__traceback__ = traceback
        if ended is not None and (error is None or not isinstance(ended, errors.LeaseLost)):
            raise ended

    async def _leave(self, error: BaseException | None) -> BaseException | None:
        """Ends the block as it ended; returns what that raised in addition."""
        assert self._task is not None
        if error is not None and not isinstance(error, Exception):
            self._break_off()
        else:
            self._end_with(error)
        await asyncio.wait({self._task})
        return None if self._task.cancelled() else self._task.exception()

    def _break_off(self) -> None:
        assert self._task is not None
        self._task.cancel()

    def _end_with(self, error: BaseException | None) -> None:
        if not self._over.done():
            self._error = error
            self._over.set_result(None)
