"""What a run waits for, with its worker or without."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import Any, TypeVar, overload

from pgstate import errors
from pgstate._areas._base import seconds
from pgstate._areas._records import Place, check_wanted
from pgstate._areas._run_held import SetDown
from pgstate._areas._run_steps import Steps
from pgstate._areas._stir import LOOK_AGAIN, Stirred
from pgstate._calls import runs
from pgstate._keys import check_key
from pgstate._keys import key as quoted
from pgstate.types import Seconds

T = TypeVar("T")

# Seconds. What waits for less is not set down; and so long tasks of the run may do what is not known of.
_SHORT = 1.0
# A child that was deleted ends without a word.
_LOOK_AFTER_CHILDREN = 300.0


class Waits(Steps):
    """sleep, wait_signal, child.

    A run that a worker has taken is set down when all of it waits: its block is cancelled, and a worker takes it up
    when that is over. All of it: each task of its code that has called it, and its own, which may wait for those."""

    _may_be_set_down = False
    _considering: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # the other tasks of its code
        self._branches: set[asyncio.Task[Any]] = set()
        # until when, and for the end of which run
        self._waiting: dict[asyncio.Task[Any], tuple[datetime | None, str | None]] = {}
        # by the keys that they were given here: the first call that has it
        self._children: dict[str, str] = {}

    def _place(self, name: str) -> Place:
        task = asyncio.current_task()
        if self._may_be_set_down and task is not None and not self._records.is_own(task) and task not in self._branches:
            self._branches.add(task)
            task.add_done_callback(self._branches.discard)
        return super()._place(name)

    @contextmanager
    def _wait(self, until: datetime | None, child: str | None = None) -> Iterator[None]:
        """While the block waits. Raises as `step`."""
        task = asyncio.current_task()
        self._check_going_on()
        if not self._may_be_set_down or task is None:
            yield
            return
        self._waiting[task] = until, child
        if self._records.is_own(task) and not self._branches:
            self._set_down_if_idle()
        else:
            self._consider_soon()
        try:
            yield
        finally:
            del self._waiting[task]

    def _consider_soon(self) -> None:
        if self._considering is None:
            self._considering = self._loop.call_later(_SHORT, self._consider)

    def _consider(self) -> None:
        self._considering = None
        self._set_down_if_idle()
        if self._waiting and not self._over:
            self._consider_soon()

    def _set_down_if_idle(self) -> None:
        if not self._waiting or self._busy or not self._branches <= self._waiting.keys():
            return
        ends = [(until - self._now()).total_seconds() for until, _ in self._waiting.values() if until is not None]
        children = [child for _, child in self._waiting.values() if child is not None]
        if min(ends, default=_SHORT) < _SHORT:
            return
        if children:
            ends.append(_LOOK_AFTER_CHILDREN)
        self._halt(SetDown(self.key, timedelta(seconds=min(ends)) if ends else None, children))

    def _stop(self) -> None:
        super()._stop()
        if self._considering is not None:
            self._considering.cancel()
            self._considering = None

    async def sleep(self, duration: Seconds, name: str = "sleep") -> None:
        """Waits until `duration` after the first time that it was called, whatever dies meanwhile. Raises as `step`."""
        place = self._place(name)
        record = self._records.find(place.id)
        if record is None:
            self._check_going_on()
            try:
                due = self._now() + seconds(duration)
            except OverflowError as error:
                raise errors.InvalidArgument(f"no time is so far away: {duration!r} seconds from now") from error
            await self._record(place, "sleep", "done", None, None, 1, self._loop.time(), due_at=due)
        else:
            due = record.due_at or self._now()
        left = (due - self._now()).total_seconds()
        if left > 0:
            with self._wait(due):
                await asyncio.sleep(left)
        self._check_going_on()

    # unions and annotated types are no type[T]
    @overload
    async def wait_signal(self, name: str, *, timeout: Seconds | None = ..., as_: type[T]) -> T: ...
    @overload
    async def wait_signal(self, name: str, *, timeout: Seconds | None = ..., as_: Any = ...) -> Any: ...
    async def wait_signal(self, name: str, *, timeout: Seconds | None = None, as_: Any = None) -> Any:
        """Waits for `state.runs.signal(key, name, payload)` and returns the payload. A signal that came before counts;
        each is taken by one wait. `timeout` is in seconds from when the run first came here. Raises SignalTimeout
        (recorded), and as `step`."""
        check_wanted(as_)
        place = self._place(name)
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
                due = row["due_at"]
                with self._wait(due):
                    await stirred.wait(LOOK_AGAIN if due is None else (due - self._now()).total_seconds() + 0.001)

    @overload
    async def child(
        self, workflow: str, input: Any = ..., *, name: str | None = ..., key: str | None = ..., as_: type[T]
    ) -> T: ...
    @overload
    async def child(
        self, workflow: str, input: Any = ..., *, name: str | None = ..., key: str | None = ..., as_: Any = ...
    ) -> Any: ...
    async def child(
        self, workflow: str, input: Any = None, *, name: str | None = None, key: str | None = None, as_: Any = None
    ) -> Any:
        """Starts a run of another workflow, which a worker takes, and returns its result when it has ended. It is under
        `key`, else `<this run's key>/<name>`, quoted where need be. Raises StepFailed when it failed or was cancelled,
        and as `step`."""
        check_wanted(as_)
        place = self._place(name or workflow)
        child = key or self._child_key(place)
        record = self._records.find(place.id)
        if record is not None:
            return self._replay(record, as_)
        if not key and self._children[child] != place.id:
            raise errors.InvalidArgument(
                f"{self._children[child]} and {place.id} of run {self.key} would both be run {child}: give one a key"
            )
        began = self._loop.time()
        full = self._runs._key(child)
        type_, data = await self._values.checked(full, input)
        async with Stirred(self._core, self._runs._name, [full]) as stirred:
            while True:
                self._check_going_on()
                # unless it is there already
                row = await self._runs._open(
                    child, None, name=workflow, input_type=type_, input=data, parent=self._full
                )
                if row["state"] != "open":
                    break
                # the end of one that another has started wakes nobody
                own = row["created"] or ((info := await self._runs.get(child)) and info.parent == self._full)
                with self._wait(None, full) if own else nullcontext():
                    await stirred.wait(LOOK_AGAIN)
        if row["state"] == "done":
            await self._record(place, "child", "done", row["result_type"], row["result"], 1, began)
            return self._values.load(row["result_type"], row["result"], as_)
        said = (
            f"run {child} was cancelled"
            if row["state"] == "cancelled"
            else (row["result"] or b"").decode(errors="replace")
        )
        await self._record(place, "child", "failed", "error", said.encode(), 1, began)
        raise errors.StepFailed(f"run {child} did not end well: {said}", self.key, place.id, said)

    def _child_key(self, place: Place) -> str:
        """Where a child is that was given no key."""
        name = place.id.replace("#", "-")
        try:
            check_key(name)
        except errors.InvalidKey:
            # workflows may be called anything
            name = quoted(name)
        child = f"{self.key}/{name}"
        self._children.setdefault(child, place.id)
        return child
