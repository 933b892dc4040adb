"""A run that is under way: its steps, timers and signals."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from datetime import datetime, timedelta
from inspect import isawaitable, iscoroutinefunction
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from pgstate import errors
from pgstate._areas import _telemetry
from pgstate._areas._base import seconds
from pgstate._areas._held import Held
from pgstate._areas._records import Place, Record, Records, Values, signature
from pgstate._areas._retry import ONCE, Retry
from pgstate._areas._step import Context, Transaction
from pgstate._areas._stir import LOOK_AGAIN, Stirred
from pgstate._calls import runs
from pgstate._calls._run import outcome_error
from pgstate._core import Core
from pgstate.types import Claim, Row, Seconds

if TYPE_CHECKING:
    from pgstate._areas.runs import Runs

_log = logging.getLogger("pgstate")
T = TypeVar("T")

current: ContextVar[Run | None] = ContextVar("pgstate_run", default=None)
# not the run's failure: it goes on when this is over
_NOT_ITS_FAULT = (
    errors.Unreachable,
    errors.Timeout,
    errors.Closed,
    errors.StaleToken,
    errors.LeaseLost,
    errors.StepMismatch,
)


class Run(Held):
    """A durable execution that is under way, or one that has ended and is replayed. Made by `state.run`.

    A step's result is recorded before the next begins, and whoever goes on with the run gets it without calling the
    function. `result` is what the run returns when its block ends."""

    def __init__(self, area: Runs, core: Core, row: Row, lease: timedelta, sent: float, values: Values) -> None:
        claim = Claim(row["key"][area._skip :], None, 0, row["token"] or 0, row["lease_until"], row["attempts"] or 0)
        super().__init__(area._state, core, claim, lease, sent, None)
        self._runs = area
        self._full: str = row["key"]
        self._values = values
        self._records = Records(row, self.key, self._body)
        self._server_ahead = row["at"].timestamp() - self._loop.time()
        self._zone = row["at"].tzinfo
        self._seed: UUID = row["seed"]
        self._code: str | None = row["code"]
        self.name: str | None = row["name"]
        """The workflow, if it has a name."""
        self.input = values.load(row["input_type"], row["input"])
        """What it was started with."""
        self.result: Any = values.load(row["result_type"], row["result"]) if row["state"] == "done" else None
        self._undos: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = []
        # why the block was cancelled, other than by the loss of its lease
        self._halted: errors.RunError | None = None
        self._undoing = False
        self._settling = False
        self._deadline: asyncio.TimerHandle | None = None
        if not self._records.open:
            self._stop()
        else:
            area._watched.add(self)
            if row["cancelled"]:
                self._halt_soon(errors.RunCancelled(f"run {self.key} was cancelled", self.key))
            if row["deadline"] is not None:
                left = (row["deadline"] - row["at"]).total_seconds()
                late = errors.RunTimeout(f"run {self.key} took longer than its timeout", self.key)
                self._deadline = self._loop.call_later(max(left, 0), self._halt, late)

    @property
    def finished(self) -> bool:
        """It has ended before: this is a replay."""
        return not self._records.open

    async def step(
        self,
        name: str,
        function: Callable[..., Awaitable[T] | T],
        *args: Any,
        retry: Retry | None = None,
        timeout: Seconds | None = None,
        undo: Callable[[Any], Any] | None = None,
        as_: Any = None,
        **kwargs: Any,
    ) -> T:
        """Calls a function, once in the run's life, and returns what it returned; later from the record.

        A plain function is called in a thread. One with a parameter `ctx` gets a `Context`, whose `state` writes in the
        transaction that records the step. The result is JSON, validated by the function's annotation or `as_`: what the
        first time returns is what a replay does. `timeout` is for each attempt. `undo` is called with the result when
        the run fails or is cancelled, the last first.

        Raises StepFailed when all attempts have failed (recorded), StepMismatch, RunCancelled, RunTimeout, LeaseLost,
        InvalidValue, Timeout, Unreachable.
        """
        place = self._records.place(name)
        return await self._step(place, "step", function, args, kwargs, retry, timeout, undo, as_)  # type: ignore[no-any-return]

    async def map(
        self,
        name: str,
        function: Callable[..., Awaitable[T] | T],
        items: Iterable[Any],
        *,
        concurrency: int = 8,
        retry: Retry | None = None,
        timeout: Seconds | None = None,
        as_: Any = None,
    ) -> list[T]:
        """`step` for each item, `concurrency` at once; each element is recorded by itself. The first that fails for
        good ends it, when those under way have ended. Raises as `step`."""
        if concurrency < 1:
            raise errors.InvalidArgument("concurrency is at least 1")
        place = self._records.place(name)
        each = list(items)
        results: list[Any] = [None] * len(each)
        if not each:
            # a place in the order, all the same
            return await self._step(place, "map", _nothing, (), {}, None, None, None, None)  # type: ignore[no-any-return]
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
                result = await self._perform(
                    place, kind, function, args, kwargs, retry or ONCE, timeout, wanted, about.wants_context
                )
        else:
            result = self._replay(record, wanted)
        if undo is not None:
            self._undos.append((place.id, undo, (result,)))
        return result

    def _replay(self, record: Record, wanted: Any) -> Any:
        if record.state == "failed":
            said = (record.data or b"").decode()
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
    ) -> Any:
        began = self._loop.time()
        attempt = 0
        patience = None if timeout is None else seconds(timeout).total_seconds()
        while True:
            attempt += 1
            self._check_going_on()
            context = Context(self, place.id, attempt, f"{self._seed}:{place.id}") if wants_context else None
            try:
                async with asyncio.timeout(patience):
                    if context is None:
                        value = await _call(function, args, kwargs)
                    else:
                        value = await _call(function, args, {**kwargs, "ctx": context})
                type_, data = self._values.dump(value)
            except Exception as error:
                await _drop(None if context is None else context._close())
                if self._halted is not None or self.lost:
                    raise
                said = f"{type(error).__name__}: {error}"
                if attempt < retry.attempts and isinstance(error, retry.on):
                    pause = retry.pause(attempt)
                    _log.info("step %s of run %s failed in attempt %d: %s", place.id, self.key, attempt, said)
                    await asyncio.sleep(pause)
                    continue
                if isinstance(error, _NOT_ITS_FAULT) and wants_context:
                    # the state that it was to write with: not there, or not its own any more
                    raise
                await self._record(place, kind, "failed", "error", said.encode("utf-8", "replace"), attempt, began)
                raise errors.StepFailed(
                    f"step {place.id} of run {self.key} failed: {said}", self.key, place.id, said
                ) from error
            except BaseException:
                await _drop(None if context is None else context._close())
                raise
            await self._record(place, kind, "done", type_, data, attempt, began, context=context)
            return self._values.round(value, type_, data, wanted)

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
        except BaseException:
            await _drop(transaction)
            raise
        if row["status"] != "ok":
            await transaction.end(commit=False)
            return row
        try:
            await transaction.end(commit=True)
        except errors.Unreachable:
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
            if not self.lost:
                await self._lose()
            raise self._loss()
        if row["cancelled"] and self._halted is None:
            self._halt(errors.RunCancelled(f"run {self.key} was cancelled", self.key))

    def _check_going_on(self) -> None:
        if self.lost:
            raise self._loss()
        if self._halted is not None and not self._undoing:
            raise self._halted

    async def sleep(self, duration: Seconds, name: str = "sleep") -> None:
        """Waits until `duration` after the first time that it was called, whatever dies meanwhile. Raises as `step`."""
        place = self._records.place(name)
        record = self._records.find(place.id)
        if record is None:
            due = self._now() + seconds(duration)
            await self._record(place, "sleep", "done", None, None, 1, self._loop.time(), due_at=due)
        else:
            due = record.due_at or self._now()
        left = (due - self._now()).total_seconds()
        if left > 0:
            await asyncio.sleep(left)
        self._check_going_on()

    async def wait_signal(self, name: str, *, timeout: Seconds | None = None, as_: Any = None) -> Any:
        """Waits for `state.runs.signal(key, name, payload)` and returns the payload. A signal that came before counts;
        each is taken by one wait. `timeout` is in seconds from when the run first came here. Raises SignalTimeout
        (recorded), and as `step`."""
        place = self._records.place(name)
        record = self._records.find(place.id)
        late = errors.SignalTimeout(f"no signal {name} came to run {self.key} in time", self.key, place.id)
        if record is not None:
            if record.state == "failed":
                raise late
            return self._values.load(record.type, record.data, as_)
        patience = None if timeout is None else seconds(timeout)
        async with Stirred(self._core, self._runs._name, [self._full]) as stirred:
            while True:
                self._check_going_on()
                row = await self._core.call_once(
                    lambda c, lane, left: runs.take_signal(
                        c, self._full, self.token, place.id, name, place.position, place.main, patience,
                        lane.id, lane.turn, self._runs._agent, timeout=left,
                    ),
                    self._runs._agent,
                    self._runs._timeout,
                )  # fmt: skip
                if row["status"] == "timeout":
                    raise late
                if row["status"] != "pending":
                    await self._recorded({**row, "code": None}, place.id)
                    return self._values.load(row["type"], row["data"], as_)
                left = LOOK_AGAIN if row["due_at"] is None else (row["due_at"] - self._now()).total_seconds() + 0.001
                await stirred.wait(left)

    async def child(
        self, workflow: str, input: Any = None, *, name: str | None = None, key: str | None = None, as_: Any = None
    ) -> Any:
        """Starts a run of another workflow, which a worker takes, and returns its result when it has ended. It is under
        `key`, else `<this run's key>/<name>`. Raises StepFailed when it failed or was cancelled, and as `step`."""
        place = self._records.place(name or workflow)
        record = self._records.find(place.id)
        if record is not None:
            return self._replay(record, as_)
        began = self._loop.time()
        child = key or f"{self.key}/{place.id.replace('#', '-')}"
        await self._runs.start(child, workflow, input, parent=self._full)
        async with Stirred(self._core, self._runs._name, [self._runs._key(child)]) as stirred:
            while True:
                self._check_going_on()
                row = await self._runs._open(child, None)
                if row["state"] != "open":
                    break
                await stirred.wait(LOOK_AGAIN)
        if row["state"] == "done":
            await self._record(place, "child", "done", row["result_type"], row["result"], 1, began)
            return self._values.load(row["result_type"], row["result"], as_)
        said = f"run {child} was cancelled" if row["state"] == "cancelled" else (row["result"] or b"").decode()
        await self._record(place, "child", "failed", "error", said.encode(), 1, began)
        raise errors.StepFailed(f"run {child} did not end well: {said}", self.key, place.id, said)

    async def now(self, name: str = "now") -> datetime:
        """The time, recorded: a replay is told the same."""
        place = self._records.place(name)
        record = self._records.find(place.id)
        if record is not None:
            return datetime.fromisoformat(self._values.load(record.type, record.data))
        now = self._now()
        type_, data = self._values.dump(now.isoformat())
        await self._record(place, "now", "done", type_, data, 1, self._loop.time())
        return now

    def random(self) -> float:
        """A number from 0 to 1 by chance, the same in a replay."""
        return self._chance("random").random()

    def uuid(self) -> UUID:
        """A random UUID, the same in a replay."""
        return UUID(int=self._chance("uuid").getrandbits(128), version=4)

    def _chance(self, kind: str) -> Random:
        return Random(f"{self._seed}:{kind}:{self._records.count('#' + kind)}")

    def on_failure(self, name: str, function: Callable[..., Any], *args: Any) -> None:
        """Has a function called when the run fails or is cancelled, the last one first, each once: as a step."""
        self._undos.append((name, function, args))

    @property
    def cancelled(self) -> bool:
        """Somebody cancelled the run: for functions in threads, which are not interrupted."""
        return isinstance(self._halted, errors.RunCancelled)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._loop.time() + self._server_ahead, self._zone)

    def _halt_soon(self, error: errors.RunError) -> None:
        self._loop.call_soon(self._halt, error)

    def _halt(self, error: errors.RunError) -> None:
        """Interrupts the block, for this reason."""
        if self._halted is None and not (self._settling or self._over or self.lost):
            self._halted = error
            if self._body is not None:
                self._body.cancel()

    def _stop(self) -> None:
        super()._stop()
        self._runs._watched.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()

    async def _settle(self, error: BaseException | None) -> None:
        if self.finished:
            return
        self._settling = True
        if self._halted is not None and not self.lost:
            error = await self._after_halt(error)
        mismatch = self._records.fault_at_end() if error is None else None
        lost_before = self.lost
        if not lost_before:
            try:
                await self._end(mismatch or error)
            except errors.StaleToken as stale:
                raise self._loss() from stale
            except asyncio.CancelledError as cancelled:
                if not self.lost:
                    raise
                error = cancelled
            else:
                if mismatch is not None:
                    raise mismatch
                if self._halted is not None and error is self._halted:
                    raise error
                return
            finally:
                self._stop()
        self._stop()
        await self._end_lost(error)

    async def _after_halt(self, error: BaseException | None) -> BaseException | None:
        """What ended the block: the halt, unless somebody else cancelled it as well."""
        assert self._body is not None
        reached = isinstance(error, asyncio.CancelledError)
        try:
            # the block may have ended before its cancellation reached it, which then reaches this
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            reached = True
        if self._body.uncancel() > self._cancelling and reached:
            return error if isinstance(error, asyncio.CancelledError) else asyncio.CancelledError()
        if error is None or isinstance(error, asyncio.CancelledError | BaseExceptionGroup):
            return self._halted
        return error

    async def _end(self, error: BaseException | None) -> None:
        """The block has ended: how, is recorded. The lease is renewed until then."""
        if error is None:
            await self._close("done", *self._values.dump(self.result))
        elif isinstance(error, Exception) and not isinstance(error, _NOT_ITS_FAULT):
            await self._undo()
            said = f"{type(error).__name__}: {error}"
            if isinstance(error, errors.RunCancelled):
                await self._close("cancelled", None, None)
            else:
                await self._close("failed", "error", said.encode("utf-8", "replace"))
        else:
            # not the run's fault: others go on with it, at once unless they would only do the same
            pause = timedelta(seconds=30) if isinstance(error, errors.StepMismatch) else None
            with suppress(errors.PgStateError):
                await asyncio.shield(self._core.spawn(self._close("open", None, None, pause)))

    async def _undo(self) -> None:
        self._undoing = True
        for id, function, args in reversed(self._undos):
            place = Place(f"undo:{id}", f"undo:{id}", self._records._position, False)
            try:
                await self._step(place, "undo", function, args, {}, None, None, None, None)
            except errors.StepFailed as failed:
                _log.warning("%s", failed)

    async def _close(self, state: str, type: str | None, data: bytes | None, ready_in: timedelta | None = None) -> None:
        self._ending = True
        row = await self._core.call_once(
            lambda c, lane, left: runs.end_run(
                c,
                self._full,
                self.token,
                state,
                type,
                data,
                ready_in,
                lane.id,
                lane.turn,
                self._runs._agent,
                timeout=left,
            ),
            self._runs._agent,
            self._runs._timeout,
        )
        self._stop()
        if row["status"] != "ok":
            raise errors.StaleToken(f"run {self.key} is held by another worker, or gone", self.key)


async def _call(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    if iscoroutinefunction(function):
        return await function(*args, **kwargs)
    value = await asyncio.to_thread(function, *args, **kwargs)
    # a callable object, a partial, a lambda that makes a coroutine
    return await value if isawaitable(value) else value


async def _drop(transaction: Transaction | None) -> None:
    if transaction is not None:
        with suppress(errors.PgStateError):
            await transaction.end(commit=False)


async def _nothing() -> list[Any]:
    return []
