"""A run that is under way: its steps, timers and signals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID

from pgstate import errors
from pgstate._areas._base import seconds
from pgstate._areas._run_steps import Steps
from pgstate._areas._stir import LOOK_AGAIN, Stirred
from pgstate._calls import runs
from pgstate.types import Seconds

current: ContextVar[Run | None] = ContextVar("pgstate_run", default=None)


class Run(Steps):
    """A durable execution that is under way, or one that has ended and is replayed. Made by `state.run`.

    A step's result is recorded before the next begins, and whoever goes on with the run gets it without calling the
    function. `result` is what the run returns when its block ends."""

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
