"""`state.runs`, with its worker."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pgstate import _in_thread as in_thread
from pgstate._areas import _run
from pgstate._areas._workflow import Workflow
from pgstate.sync import _loop
from pgstate.sync._calls import Run, RunsCalls
from pgstate.sync._run import Line
from pgstate.sync._stop import until_told
from pgstate.types import Seconds

Handler: TypeAlias = Callable[[Run, Any], Any]


class Runs(RunsCalls):
    """The runs of a state: `state.runs`."""

    def worker(
        self,
        workflows: Mapping[str, Handler] | Sequence[Any],
        *,
        pattern: str = "",
        concurrency: int = 8,
        lease: Seconds = 30.0,
        schedules: str | None = None,
        version: str | None = None,
        grace: Seconds = 10.0,
        stop: threading.Event | None = None,
        signals: Sequence[int] = (signal.SIGTERM,),
    ) -> int:
        """Works on runs of these workflows, `concurrency` at once, each in a thread, until it is told to stop: by a
        signal, or by `stop`. Returns how many have ended well.

        `workflows` are `{"report": report}` with `def report(run, input)`; what it returns is the run's result. Where a
        run is to end, or waits for long and is set down, its calls raise, asyncio.CancelledError for the latter: let it
        through. As the asynchronous `worker` in all else; those under way when `grace` seconds are over end with their
        next call. Raises InvalidArgument, InvalidPattern, AccessDenied."""
        handlers: Any = (
            {name: one if isinstance(one, Workflow) else _handler(one) for name, one in workflows.items()}
            if isinstance(workflows, Mapping)
            else workflows
        )

        async def work(told: asyncio.Event) -> int:
            return await self._its.worker(
                handlers, pattern=pattern, concurrency=concurrency, lease=lease, schedules=schedules, version=version,
                grace=grace, stop=told, signals=(),
            )  # fmt: skip

        return until_told(stop, signals, work)


def _handler(function: Handler) -> Callable[[_run.Run, Any], Any]:
    async def handle(run: _run.Run, input: Any) -> Any:
        line = Line(run)

        def call() -> Any:
            line.thread = threading.get_ident()
            return in_thread.call(function, Run(line), input)

        try:
            return await line.ends(asyncio.ensure_future(_loop.current().in_thread(call)))
        except _loop.Passed as passed:
            if isinstance(passed.error, asyncio.CancelledError):
                raise passed.error from None
            # SystemExit, say, would end the loop
            raise RuntimeError(f"the workflow's thread was left by {passed.error!r}") from passed.error

    return handle
