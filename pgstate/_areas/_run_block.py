"""`async with state.run(…)`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pgstate import errors
from pgstate._areas import _telemetry
from pgstate._areas._base import seconds
from pgstate._areas._claimer import claimed_or_given_back
from pgstate._areas._run import Run, current
from pgstate._areas._run_held import SetDown
from pgstate._areas._stir import LOOK_AGAIN, Stirred
from pgstate.types import Row, Seconds

if TYPE_CHECKING:
    from pgstate._areas.runs import Runs


class RunBlock:
    """What `state.run` returns, for `async with`."""

    def __init__(
        self,
        area: Runs,
        key: str,
        lease: Seconds,
        wait: Seconds | None,
        name: str | None,
        input: Any,
        version: str | None,
        timeout: Seconds | None,
        ttl: Seconds | None,
    ) -> None:
        self._area = area
        self._key = key
        self._lease = lease
        self._wait = wait
        self._name = name
        self._input = input
        self._version = version
        self._timeout = timeout
        self._ttl = ttl
        self._run: Run | None = None
        self._token: Token[Run | None] | None = None
        self._span: Any = None

    @classmethod
    def of(cls, area: Runs, row: Row, lease: Seconds, sent: float) -> RunBlock:
        """For a run that is claimed already. `sent`: when that was asked for."""
        block = cls(area, row["key"][area._skip :], lease, None, None, None, None, None, None)
        block._begin(row, sent)
        return block

    def _begin(self, row: Row, sent: float) -> Run:
        core = self._area._core.following("a run")
        self._run = Run(self._area, core, row, seconds(self._lease), sent, self._area._values)
        return self._run

    async def __aenter__(self) -> Run:
        if self._token is not None:
            raise RuntimeError("it is under way already: make a new one for each block")
        run = self._run or await self._open()
        self._span = _telemetry.span(f"run {run.name or run.key}", run=run._full, workflow=run.name)
        self._span.__enter__()
        self._token = current.set(run)
        return run

    async def _open(self) -> Run:
        area, loop = self._area, asyncio.get_running_loop()
        core = area._core.following("a run")
        type_, data = await area._values.checked(area._key(self._key), self._input)
        patience = math.inf if self._wait == math.inf else seconds(self._wait or 0).total_seconds()
        ends = loop.time() + patience
        async with Stirred(core, area._name, [area._key(self._key)]) as stirred:
            while True:
                sent = loop.time()
                asking = area._open(
                    self._key,
                    self._lease,
                    name=self._name,
                    input_type=type_,
                    input=data,
                    code=self._version,
                    timeout=self._timeout,
                    ttl=self._ttl,
                )
                (row,) = await claimed_or_given_back(core, _alone(asking), area._give_back)
                if row["status"] != "held":
                    break
                left = ends - loop.time()
                if left <= 0:
                    core.stats.conflicts += 1
                    raise errors.RunHeld(
                        f"somebody works on run {self._key}: state.runs.get() tells who and until when", self._key
                    )
                until = LOOK_AGAIN if row["retry_in"] is None else max(row["retry_in"].total_seconds(), 0) + 0.001
                await stirred.wait(min(left, until))
        if row["state"] == "cancelled":
            raise errors.RunCancelled(f"run {self._key} was cancelled: state.runs.retry() lets it go on", self._key)
        return self._begin(row, sent)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._run is not None and self._token is not None
        # a generator may be left in another context than it was entered in, which does not have it
        with suppress(ValueError):
            current.reset(self._token)
        try:
            await self._run._settle(error)
        except SetDown:
            error = None
            raise
        finally:
            self._span.__exit__(None, None, None) if error is None else _end(self._span, error)


async def _alone(row: Coroutine[Any, Any, Row]) -> Sequence[Row]:
    return [await row]


def _end(span: Any, error: BaseException) -> None:
    try:
        span.__exit__(type(error), error, error.__traceback__)
    except BaseException as again:
        if again is not error:
            raise
