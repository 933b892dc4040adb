"""The worker loop of runs: takes them, calls their workflows, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from pgstate import errors, ops
from pgstate._areas._base import said, seconds
from pgstate._areas._cron import next_time
from pgstate._areas._run import Run
from pgstate._areas._run_block import RunBlock
from pgstate._areas._run_held import SetDown
from pgstate._areas._stir import LOOK_AGAIN, Stirred
from pgstate._areas._uncancelled import failing_unless_cancelled
from pgstate._areas._work import _on_signal
from pgstate._areas._workflow import Workflow
from pgstate._calls._run import OUTAGES
from pgstate._core import Core
from pgstate._outage import Outage
from pgstate.types import Claim, Row, Seconds

if TYPE_CHECKING:
    from pgstate._areas.runs import Runs

_log = logging.getLogger("pgstate")
Handler = Callable[[Run, Any], Any]
_NOT_ITS_FAULT = (*OUTAGES, errors.Closed, errors.Conflict, errors.AccessDenied)


class RunWorker:
    """One `runs.worker()` call."""

    def __init__(
        self,
        area: Runs,
        core: Core,
        workflows: Mapping[str, Handler] | Sequence[Any],
        pattern: str,
        lease: Seconds,
        version: str | None,
        schedules: str | None,
        stop: asyncio.Event | None,
    ) -> None:
        self._area = area
        self._core = core
        self._handlers, self._codes = _by_name(workflows, version)
        if not self._handlers:
            raise errors.InvalidArgument("a worker needs workflows to work on")
        self._pattern = pattern
        self._lease = lease
        self._schedules = schedules
        self._stop = stop or asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._outage = Outage(f"work on runs of {', '.join(self._handlers)}")
        self._done = 0
        self._looking: Stirred | None = None

    async def run(self, concurrency: int, grace: float, signals: Sequence[int]) -> int:
        """Returns how many runs have ended well."""
        loop = asyncio.get_running_loop()
        with ExitStack() as stack:
            for number in signals:
                stack.enter_context(_on_signal(loop, number, self._stop.set))
            loops = [loop.create_task(self._take_runs(concurrency), name="pgstate-runs")]
            if self._schedules is not None:
                loops.append(loop.create_task(self._follow_schedules(self._schedules), name="pgstate-schedules"))
            stopping = loop.create_task(self._stop.wait())
            try:
                await asyncio.wait([*loops, stopping], return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._stop.set()
                for task in [*loops, stopping]:
                    task.cancel()
                try:
                    ended = await asyncio.gather(*loops, return_exceptions=True)
                    if self._tasks:
                        await asyncio.wait(self._tasks, timeout=grace)
                finally:
                    # also where this is cancelled meanwhile: nobody else would ever end them
                    for run in self._tasks:
                        run.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
            for failed in ended:
                if isinstance(failed, Exception):
                    raise failed
        return self._done

    async def _take_runs(self, concurrency: int) -> None:
        loop = asyncio.get_running_loop()
        span = seconds(self._lease)
        pause = 0.05
        while True:
            async with Stirred(self._core, self._area._name, [self._pattern or "**"], _is_waiting) as stirred:
                self._looking = stirred
                while len(self._tasks) < concurrency:
                    sent = loop.time()
                    try:
                        rows = await self._area._take(self._codes, concurrency - len(self._tasks), span, self._pattern)
                    except OUTAGES as error:
                        self._outage.lost(error)
                        await asyncio.sleep(pause)
                        pause = min(pause * 2, 2.0)
                        continue
                    pause = 0.05
                    self._outage.over()
                    for row in rows:
                        if row["status"] == "ok":
                            self._begin(row, sent)
                    if rows and rows[-1]["status"] != "ok":
                        left = rows[-1]["retry_in"]
                        await stirred.wait(LOOK_AGAIN if left is None else max(left.total_seconds(), 0.001) + 0.001)
            self._freed.clear()
            if len(self._tasks) >= concurrency:
                await self._freed.wait()

    def _begin(self, row: Row, sent: float) -> None:
        task = asyncio.get_running_loop().create_task(self._handle(row, sent), name=f"pgstate-run {row['key']}")
        self._tasks.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._freed.set()

    async def _handle(self, row: Row, sent: float) -> None:
        try:
            async with RunBlock.of(self._area, row, self._lease, sent) as run:
                run._may_be_set_down = True
                with failing_unless_cancelled():
                    result = self._handlers[row["name"]](run, run.input)
                    run.result = await result if isawaitable(result) else result
            self._done += 1
        except SetDown:
            # when it is due again, this worker knows by looking
            if self._looking is not None:
                self._looking.stir()
        except Exception as error:
            # the run has failed, or is another's, or goes on later: not the loop's end
            _log.warning("run %s: %s", row["key"], said(error))

    async def _follow_schedules(self, pattern: str) -> None:
        state = self._area._state
        while True:
            try:
                claim = await state.claim_next(pattern, self._lease, wait=60)
                if claim is not None:
                    await self._start_due(claim)
            except OUTAGES as error:
                self._outage.lost(error)
                await asyncio.sleep(1)
            except errors.Conflict as error:
                _log.info("a schedule changed meanwhile: %s", error)

    async def _start_due(self, claim: Claim) -> None:
        """Starts what is due, and sets the next time. If this dies in between, it is started again: under the same key,
        so once."""
        state = self._area._state
        try:
            plan = claim.value
            due = datetime.fromisoformat(plan["next"]).astimezone(UTC)
            after = next_time(plan["cron"], plan["timezone"], max(due, datetime.now(UTC)))
            await self._area.start(
                f"{claim.key}/{due:%Y-%m-%dT%H:%M:%SZ}",
                plan["workflow"],
                plan.get("input"),
                priority=plan.get("priority"),
            )
        except _NOT_ITS_FAULT:
            raise
        except (errors.PgStateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # whatever stands there, other schedules go on
            _log.error("%s is no schedule: %s", claim.key, error)
            await state.fail(claim.key, claim.token, f"not a schedule: {error}", retry_in=3600)
            return
        await state.apply(
            guards=[ops.token(claim.key, claim.token)],
            operations=[ops.put(claim.key, {**plan, "next": after.isoformat()}, token=claim.token, not_before=after)],
        )
        with suppress(errors.PgStateError):
            await state.release(claim.key, claim.token)


def _by_name(
    workflows: Mapping[str, Handler | Workflow[..., Any]] | Sequence[Workflow[..., Any]], version: str | None
) -> tuple[dict[str, Handler], dict[str, str | None]]:
    """What is called for each workflow, and the version of its code."""
    if not isinstance(workflows, Mapping):
        unnamed = [given for given in workflows if not isinstance(given, Workflow)]
        if unnamed:
            raise errors.InvalidArgument(
                f"{unnamed[0]!r:.80} was not made by @pgstate.workflow, so it has no name: give {{name: function}}"
            )
        workflows = {given.name: given for given in workflows}
    handlers = {name: one.handle if isinstance(one, Workflow) else one for name, one in workflows.items()}
    codes = {name: one.version if isinstance(one, Workflow) else version for name, one in workflows.items()}
    return handlers, codes


def _is_waiting(row: Row) -> bool:
    """Steps of runs under way are no news for workers; one that waits is, and one that another waited for."""
    value = row["value"]
    return value is not None and ('"waiting"' in value or '"wakes"' in value)
