"""The steps of a run: performed once, recorded, and replayed from then on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from pgstate import errors
from pgstate._areas import _telemetry
from pgstate._areas._base import seconds
from pgstate._areas._records import Place, Record, check_wanted, signature
from pgstate._areas._retry import ONCE, Retry
from pgstate._areas._run_held import NOT_ITS_FAULT, HeldRun
from pgstate._areas._step import Context, Transaction
from pgstate._areas._uncancelled import failing_unless_cancelled
from pgstate._calls import runs
from pgstate._calls._run import outcome_error
from pgstate._in_thread import in_thread
from pgstate.types import Row, Seconds

if TYPE_CHECKING:
    from pgstate._areas._run import Run

_log = logging.getLogger("pgstate")
T = TypeVar("T")


class Steps(HeldRun):
    """step, map."""

    # two of each: type checkers find no T in `Callable[..., Awaitable[T] | T]`
    @overload
    async def step(
        self,
        name: str,
        function: Callable[..., Awaitable[T]],
        *args: Any,
        retry: Retry | None = None,
        timeout: Seconds | None = None,
        undo: Callable[[Any], Any] | None = None,
        as_: Any = None,
        **kwargs: Any,
    ) -> T: ...
    @overload
    async def step(
        self,
        name: str,
        function: Callable[..., T],
        *args: Any,
        retry: Retry | None = None,
        timeout: Seconds | None = None,
        undo: Callable[[Any], Any] | None = None,
        as_: Any = None,
        **kwargs: Any,
    ) -> T: ...
    async def step(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        retry: Retry | None = None,
        timeout: Seconds | None = None,
        undo: Callable[[Any], Any] | None = None,
        as_: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Calls a function, once in the run's life, and returns what it returned; later from the record.

        A plain function is called in a thread. One with a parameter `ctx` gets a `Context`, whose `state` writes in the
        transaction that records the step. The result is JSON, validated by the function's annotation or `as_`: what the
        first time returns is what a replay does. `timeout` is for each attempt. `undo` is called with the result when
        the run fails or is cancelled, the last first.

        Raises StepFailed when all attempts have failed (recorded), StepMismatch, RunCancelled, RunTimeout, LeaseLost,
        RunEnded when the block of the run has ended, InvalidArgument, InvalidValue, Timeout, Unreachable.
        """
        check_wanted(as_)
        place = self._place(name)
        return await self._step(place, "step", function, args, kwargs, retry, timeout, undo, as_)

    @overload
    async def map(
        self,
        name: str,
        function: Callable[..., Awaitable[T]],
        items: Iterable[Any],
        *,
        concurrency: int = 8,
        retry: Retry | None = None,
        timeout: Seconds | None = None,
        as_: Any = None,
    ) -> list[T]: ...
    @overload
    async def map(
        self,
        name: str,
        function: Callable[..., T],
        items: Iterable[Any],
        *,
        concurrency: int = 8,
        retry: Retry | None = None,
        timeout: Seconds | None = None,
        as_: Any = None,
    ) -> list[T]: ...
    async def map(
        self,
        name: str,
        function: Callable[..., Any],
        items: Iterable[Any],
        *,
        concurrency: int = 8,
        retry: Retry | None = None,
        timeout: Seconds | None = None,
        as_: Any = None,
    ) -> Any:
        """`step` for each item, `concurrency` at once; each element is recorded by itself. The first that fails for
        good ends it, when those under way have ended. Raises as `step`."""
        if concurrency < 1:
            raise errors.InvalidArgument("concurrency is at least 1")
        check_wanted(as_)
        place = self._place(name)
        each = list(items)
        results: list[Any] = [None] * len(each)
        if not each:
            # a place in the order, all the same
            return await self._step(place, "map", _nothing, (), {}, None, None, None, None)
        todo = iter(range(len(each)))
        failed: list[BaseException] = []

        async def work() -> None:
            for index in todo:
                own = place._replace(id=f"{place.id}[{index}]")
                try:
                    results[index] = await self._step(
                        own, "map", function, (each[index],), {}, retry, timeout, None, as_
                    )
                except Exception as error:
                    failed.append(error)
                if failed:
                    return

        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(each))):
                group.create_task(work())
        if failed:
            raise failed[0]
        return results

    async def _step(
        self,
        place: Place,
        kind: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        retry: Retry | None,
        timeout: Seconds | None,
        undo: Callable[[Any], Any] | None,
        as_: Any,
    ) -> Any:
        about = signature(function)
        wanted = about.result if as_ is None else as_
        record = self._records.find(place.id)
        if record is None:
            with _telemetry.span(f"step {place.name}", run=self._full, step=place.id):
                self._busy += 1
                try:
                    return await self._perform(
                        place, kind, function, args, kwargs, retry or ONCE, timeout, wanted, about.wants_context, undo
                    )
                finally:
                    self._busy -= 1
        result = self._replay(record, wanted)
        self._done(place, undo, result)
        return result

    def _done(self, place: Place, undo: Callable[[Any], Any] | None, result: Any) -> None:
        rank = self._records.finished(place.id)
        if undo is not None:
            self._to_undo(rank, place.id, undo, result)

    def _replay(self, record: Record, wanted: Any) -> Any:
        if record.state == "failed":
            said = (record.data or b"").decode(errors="replace")
            raise errors.StepFailed(f"step {record.id} of run {self.key} failed: {said}", self.key, record.id, said)
        return self._values.load(record.type, record.data, wanted)

    async def _perform(
        self,
        place: Place,
        kind: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        retry: Retry,
        timeout: Seconds | None,
        wanted: Any,
        wants_context: bool,
        undo: Callable[[Any], Any] | None,
    ) -> Any:
        began = self._loop.time()
        attempt = 0
        patience = None if timeout is None else seconds(timeout).total_seconds()
        while True:
            attempt += 1
            self._check_going_on()
            context = (
                Context(cast("Run", self), place.id, attempt, f"{self._seed}:{place.id}") if wants_context else None
            )
            try:
                with failing_unless_cancelled():
                    async with asyncio.timeout(patience) as limit:
                        if context is None:
                            value = await _call(function, args, kwargs)
                        else:
                            value = await _call(function, args, {**kwargs, "ctx": context})
                    type_, data = await self._values.checked(self._full, value)
            except Exception as error:
                if context is not None and (transaction := context._close()) is not None:
                    await transaction.drop()
                if (self._halted is not None and not self._undoing) or self.lost:
                    raise
                said = self._values.said(error)
                if limit.expired():
                    said = f"TimeoutError: it took longer than {patience:g} s"
                if attempt < retry.attempts and isinstance(error, retry.on):
                    pause = retry.pause(attempt)
                    _log.info("step %s of run %s failed in attempt %d: %s", place.id, self.key, attempt, said)
                    await asyncio.sleep(pause)
                    continue
                if isinstance(error, NOT_ITS_FAULT) and wants_context:
                    # the state that it was to write with: not there, or not its own any more
                    raise
                await self._record(place, kind, "failed", "error", said.encode("utf-8", "replace"), attempt, began)
                raise errors.StepFailed(
                    f"step {place.id} of run {self.key} failed: {said}", self.key, place.id, said
                ) from error
            except BaseException:
                if context is not None and (transaction := context._close()) is not None:
                    transaction.abandon()
                raise
            recording = self._record(place, kind, "done", type_, data, attempt, began, context=context)
            kept = partial(self._kept, place, undo, value, type_, data, wanted)
            if undo is not None:
                # what is recorded must be known when it is time to undo it
                return await _to_its_end(recording, kept)
            await recording
            return kept()

    def _kept(
        self, place: Place, undo: Callable[[Any], Any] | None, value: Any, type: str, data: bytes, wanted: Any
    ) -> Any:
        result = self._values.round(value, type, data, wanted)
        self._done(place, undo, result)
        return result

    async def _record(
        self,
        place: Place,
        kind: str,
        state: str,
        type: str | None,
        data: bytes | None,
        attempts: int,
        began: float,
        *,
        due_at: datetime | None = None,
        context: Context | None = None,
    ) -> None:
        elapsed = self._loop.time() - began
        args = (
            self.token,
            place.id,
            place.name,
            kind,
            place.position,
            place.main,
            state,
            type,
            data,
            attempts,
            elapsed,
            due_at,
        )
        transaction = None if context is None else context._close()
        if transaction is not None:
            row = await self._record_with(transaction, place.id, args)
        else:
            queue = self._core.queue("step", self._runs._agent, self._runs._finish_together, lanes=2)
            row = await queue.submit(self._full, args, len(data or b""), self._runs._timeout)
        await self._recorded(row, place.id)

    async def _record_with(self, transaction: Transaction, id: str, args: tuple[Any, ...]) -> Row:
        columns: list[Sequence[Any] | None] = [[value] for value in (self._full, *args)]
        agent, timeout = self._runs._agent, self._runs._timeout
        try:
            connection = await transaction.connection()
            row = (await runs.finish_steps(connection, columns, None, None, None, agent, timeout=timeout))[0]
        except Exception:
            await transaction.drop()
            raise
        except BaseException:
            transaction.abandon()
            raise
        if row["status"] != "ok":
            await transaction.end(commit=False)
            return row
        try:
            await transaction.end(commit=True)
        except (errors.Unreachable, errors.Timeout):
            # was it committed? Then the step is recorded, with what it wrote
            found = await self._core.call(lambda c, left: runs.run_steps(c, self._full, agent, timeout=left), timeout)
            if not any(step["step"] == id and step["token"] == self.token for step in found):
                raise
        return row

    async def _recorded(self, row: Row, id: str) -> None:
        if row["code"] is not None:
            raise outcome_error(row["code"], row["message"])
        if row["status"] == "exists":
            raise errors.StepMismatch(f"step {id} of run {self.key} was recorded meanwhile", self.key, id)
        if row["status"] != "ok":
            if not self.lost and not self._over:
                await self._lose()
            # when the block has ended, what it was in goes on: a task that is left behind has no part in that
            raise self._loss()
        if row["cancelled"] and self._halted is None:
            self._halt(errors.RunCancelled(f"run {self.key} was cancelled", self.key))


async def _call(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    if iscoroutinefunction(function):
        return await function(*args, **kwargs)
    value = await in_thread(function, *args, **kwargs)
    # a callable object, a partial, a lambda that makes a coroutine
    return await value if isawaitable(value) else value


async def _to_its_end(work: Coroutine[Any, Any, None], then: Callable[[], T]) -> T:
    """Awaits it, and when this is cancelled, its end before that is told; `then` is called when it has gone well."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is None:
            then()
        raise
    return then()


async def _nothing() -> list[Any]:
    return []
