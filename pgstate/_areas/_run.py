"""A run that is under way: its steps, timers and signals."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID

from pgstate._areas._run_waits import Waits

current: ContextVar[Run | None] = ContextVar("pgstate_run", default=None)


class Run(Waits):
    """A durable execution that is under way, or one that has ended and is replayed. Made by `state.run`.

    A step's result is recorded before the next begins, and whoever goes on with the run gets it without calling the
    function. `result` is what the run returns when its block ends."""

    async def now(self, name: str = "now") -> datetime:
        """The time, recorded: a replay is told the same."""
        place = self._place(name)
        record = self._records.find(place.id)
        if record is not None:
            return datetime.fromisoformat(self._values.load(record.type, record.data))
        self._check_going_on()
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
        self._to_undo(self._records.reached, name, function, *args)
