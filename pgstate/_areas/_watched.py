"""The runs under way in this process: once a second one statement asks which of them are to end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from pgstate import errors
from pgstate._calls import runs
from pgstate._core import Core

if TYPE_CHECKING:
    from pgstate._areas._run_held import HeldRun

_log = logging.getLogger("pgstate")
_EVERY = 1.0


class Watched:
    """Those of one agent. It asks while there are any; a watch of each would be woken by all of their steps."""

    def __init__(self, core: Core, agent: str | None) -> None:
        self._core = core
        self._agent = agent
        self._runs: set[HeldRun] = set()
        self._asking: asyncio.Task[None] | None = None

    def add(self, run: HeldRun) -> None:
        """From now on it is told when somebody cancels it."""
        self._runs.add(run)
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask(), name="pgstate-cancelled-runs")

    def discard(self, run: HeldRun) -> None:
        """It has ended."""
        self._runs.discard(run)
        if not self._runs and self._asking is not None:
            self._asking.cancel()
            self._asking = None

    async def _ask(self) -> None:
        while not self._core.closed:
            await asyncio.sleep(_EVERY)
            keys = [run._full for run in self._runs]
            try:
                told = set(
                    await self._core.call(
                        lambda c, left, keys=keys: runs.cancelled_runs(c, keys, self._agent, timeout=left),  # type: ignore[misc]
                        self._core.timeout,
                    )
                )
            except errors.PgStateError as error:
                _log.debug("whether runs were cancelled is not known yet: %s", error)
                continue
            for run in [run for run in self._runs if run._full in told]:
                run._halt(errors.RunCancelled(f"run {run.key} was cancelled", run.key))
