"""A run that is under way, for synchronous code: its calls are made on the loop, for the thread that has it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from pgstate._areas import _run, _step, _telemetry
from pgstate._areas._run_held import SetDown
from pgstate.sync import _loop
from pgstate.sync._proxy import Block, Proxy

if TYPE_CHECKING:
    from pgstate.sync._bind import BoundState
    from pgstate.sync._calls import Run

C = TypeVar("C", bound=Callable[..., Any] | None)
T = TypeVar("T")


class Left(BaseException):
    """A step's function has raised what is no Exception: the step has not failed, and its thread is to end."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _left(error: BaseException) -> Left | None:
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_left, error.exceptions)), None)
    return error if isinstance(error, Left) else None


class Line:
    """The thread that has a run. A task of the loop, the run's own, has its block open meanwhile; what the thread asks
    of the run is done by other tasks, which stand for the run's own: in the order of the code. What other threads ask
    comes as it happens. Where the run's own task is cancelled those tasks are, and the thread hears why."""

    def __init__(self, run: _run.Run) -> None:
        self.run = run
        self.thread: int | None = None
        self.span = _telemetry.current()
        self._asking: set[asyncio.Task[Any]] = set()
        self._interrupted = False

    async def ask(self, work: Coroutine[Any, Any, T], thread: int) -> T:
        """What a call of the run returns or raises, that a thread makes."""
        task = asyncio.current_task()
        assert task is not None
        try:
            self._tell()
        except BaseException:
            work.close()
            raise
        if thread == self.thread:
            self.run._records.acting.add(task)
        self._asking.add(task)
        try:
            return await work
        except asyncio.CancelledError:
            self._tell()
            raise
        except BaseException as error:
            if (left := _left(error)) is not None:
                raise _loop.Passed(left.error) from None
            raise
        finally:
            self._asking.discard(task)
            self.run._records.acting.discard(task)

    def _tell(self) -> None:
        """Raises what the run was interrupted for, if it was."""
        if not self._interrupted:
            return
        if self.run.lost:
            raise self.run._loss()
        if self.run._halted is not None and not isinstance(self.run._halted, SetDown):
            raise self.run._halted
        raise asyncio.CancelledError

    async def ends(self, end: asyncio.Future[T]) -> T:
        """Waits for the thread, which cannot be interrupted, whatever this is told meanwhile: its calls are."""
        while not end.done():
            try:
                await asyncio.wait({end})
            except asyncio.CancelledError:
                self._interrupted = True
                for task in self._asking:
                    task.cancel()
        return end.result()


class RunProxy(Proxy[_run.Run]):
    """What is not written by the generator of a synchronous run."""

    _can_be_remade = False

    def __init__(self, line: Line) -> None:
        super().__init__(lambda: line.run)
        self._line = line
        self._wrapped: dict[Callable[..., Any], Callable[..., Any]] = {}

    def _run(self, work: Coroutine[Any, Any, T]) -> T:  # type: ignore[override]
        return _loop.current().run(self._line.ask(work, threading.get_ident()))

    def _at_once(self, function: Callable[..., T], *args: Any) -> T:
        async def call() -> T:
            return function(*args)

        return self._run(call())

    def _called(self, function: C) -> C:
        """A function of the application's, as the run may call it: in a thread, with a context for threads."""
        if function is None or inspect.iscoroutinefunction(function):
            return function
        known: Any
        try:
            known = self._wrapped.get(function)
            if known is None:
                known = self._wrapped[function] = self._in_thread(function)
        except TypeError:  # not hashable
            known = self._in_thread(function)
        return known  # type: ignore[no-any-return]

    def _in_thread(self, function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            if isinstance(kwargs.get("ctx"), _step.Context):
                kwargs["ctx"] = Context(kwargs["ctx"], self)
            try:
                return await _loop.current().in_thread(function, *args, **kwargs)
            except _loop.Passed as passed:
                raise Left(passed.error) from None

        return call

    @property
    def name(self) -> str | None:
        """The workflow, if it has a name."""
        return self._its.name

    @property
    def result(self) -> Any:
        """What the run returns when its block ends."""
        return self._its.result

    @result.setter
    def result(self, value: Any) -> None:
        self._its.result = value


class Context:
    """What a step's function gets as `ctx`, in a thread."""

    def __init__(self, context: _step.Context, run: RunProxy) -> None:
        self._context = context
        self._run = run

    @property
    def run(self) -> Run:
        """The run."""
        return self._run  # type: ignore[return-value]

    @property
    def step(self) -> str:
        """The id of the step: its name, with #n for its nth occurrence and [i] for the ith element of a map."""
        return self._context.step

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._context.attempt

    @property
    def idempotency_key(self) -> str:
        """The same in every attempt of this step, by whichever worker: for services that take one."""
        return self._context.idempotency_key

    @property
    def cancelled(self) -> bool:
        """The run was cancelled: a function in a thread is not interrupted."""
        return self._context.cancelled

    @property
    def state(self) -> BoundState:
        """The state, in one transaction with the record of the step: both, or neither."""
        from pgstate.sync._bind import BoundState

        return BoundState(lambda: self._context.state)


class Running(Block["Run"]):
    """What `run` returns: `with state.run("research/report-42") as run`. The thread that enters it has the run; others
    may call it too. A thread cannot be interrupted: when the run is cancelled or its lease lost, what it waits for
    raises, or the next call, or the end of the block."""

    def __init__(self, block: AbstractAsyncContextManager[Any], kind: Callable[[Line], Run]) -> None:
        super().__init__(block, lambda line: line)
        self._kind = kind
        self._thread: int | None = None
        self._span: Any = None

    def __enter__(self) -> Run:
        self._thread = threading.get_ident()
        run = super().__enter__()
        try:
            self._span = _telemetry.enter(run._line.span)
        except BaseException as interrupted:
            super().__exit__(type(interrupted), interrupted, interrupted.__traceback__)
            raise
        return run

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _telemetry.leave(self._span)
        super().__exit__(kind, error, traceback)

    async def _hold(self, entered: asyncio.Future[Any]) -> None:
        try:
            async with self._manager as run:
                line = Line(run)
                line.thread = self._thread
                entered.set_result(self._kind(line))
                await line.ends(self._over)
                if self._error is not None:
                    raise self._error
        except Exception as error:
            if error is not self._error:
                raise

    def _break_off(self) -> None:
        # by KeyboardInterrupt, say: others go on with the run
        self._end_with(asyncio.CancelledError())
