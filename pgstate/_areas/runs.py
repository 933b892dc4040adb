"""Durable runs: a pipeline that dies at step 14 goes on at step 14."""

from __future__ import annotations

import asyncio
import builtins
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from signal import SIGTERM
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, overload

from pgstate import errors
from pgstate._areas._base import Area, seconds
from pgstate._areas._claimer import claimed_or_given_back
from pgstate._areas._cron import next_time
from pgstate._areas._records import Values
from pgstate._areas._run_block import RunBlock
from pgstate._areas._run_worker import Handler, RunWorker
from pgstate._areas._stir import LOOK_AGAIN, Stirred
from pgstate._areas._watched import Watched
from pgstate._bound import BoundCore
from pgstate._calls import runs
from pgstate._codec import JSON, Serializer
from pgstate._core import NoLane
from pgstate._gather import Lane, Operation
from pgstate._json import decode_told
from pgstate.types import Row, RunInfo, Seconds, StepInfo

if TYPE_CHECKING:
    from pgstate._areas.claims import Claims

_log = logging.getLogger("pgstate")
T = TypeVar("T")
_BOTH = "read and write"
# a method of Runs is called list
Columns: TypeAlias = list[Sequence[Any] | None]


class Runs(Area):
    """The runs of a state: `state.runs`."""

    def __init__(self, state: Claims, bound: Callable[[BoundCore], Any], serializer: Serializer = JSON) -> None:
        super().__init__(state._core, state._agent, state._prefix, state._timeout)
        self._state = state
        self._bound = bound
        self._values = Values(self._core.guard.sealed(serializer), self._core.guard)

    def with_serializer(self, serializer: Serializer) -> Self:
        """A view whose inputs, results and signals, and those of the runs that it works on, go through another
        serializer than JSON: anything with LangGraph's `dumps_typed` and `loads_typed`."""
        return type(self)(self._state, self._bound, serializer)

    @property
    def _watched(self) -> Watched:
        core = self._core.following("a run")
        # by the kind of name too: one with a ticket is not the bare one
        which = (Watched, self._agent, type(self._agent))
        found = core.kept.get(which)
        if found is None:
            found = core.kept[which] = Watched(core, self._agent)
        assert isinstance(found, Watched)
        return found

    async def start(
        self,
        key: str,
        workflow: str,
        input: Any = None,
        *,
        priority: int | None = None,
        at: datetime | None = None,
        timeout: Seconds | None = None,
        ttl: Seconds | None = None,
        parent: str | None = None,
    ) -> bool:
        """Leaves a run to the workers that know its workflow. False if there is a run under the key already, ended or
        not: nothing is changed then, so starting may be repeated.

        A higher `priority` is taken first; `at` is the earliest time; `timeout` is how long it may take from then on;
        `ttl` how long it stays after each change. Raises InvalidKey, InvalidArgument, InvalidValue, WrongKind,
        AccessDenied (takes read and write, and write on `parent`)."""
        type_, data = await self._values.checked(self._key(key), input)
        row = await self._open(
            key,
            None,
            name=workflow,
            input_type=type_,
            input=data,
            priority=priority,
            ready_at=at,
            timeout=timeout,
            ttl=ttl,
            parent=parent,
        )
        return bool(row["created"])

    async def _open(
        self,
        key: str,
        lease: Seconds | None,
        *,
        name: str | None = None,
        input_type: str | None = None,
        input: bytes | None = None,
        code: str | None = None,
        priority: int | None = None,
        ready_at: datetime | None = None,
        timeout: Seconds | None = None,
        ttl: Seconds | None = None,
        parent: str | None = None,
    ) -> Row:
        full = self._key(key)
        spans = [None if span is None else seconds(span) for span in (lease, timeout, ttl)]
        with self._to(f"run {full}", _BOTH, full):
            return await self._core.call_once(
                lambda c, lane, left: runs.start_run(
                    c, full, spans[0], name, input_type, input, code, priority, ready_at, spans[1], spans[2], parent,
                    lane.id, lane.turn, self._agent, timeout=left,
                ),
                self._agent,
                self._timeout,
            )  # fmt: skip

    async def _give_back(self, rows: Sequence[Row]) -> None:
        """For others to go on with at once."""
        for row in rows:
            key, token = row["key"], row["token"]
            try:
                await self._core.call_once(
                    lambda c, lane, left, key=key, token=token: runs.end_run(  # type: ignore[misc]
                        c, key, token, "open", None, None, None, lane.id, lane.turn, self._agent, None, timeout=left
                    ),
                    self._agent,
                    self._timeout,
                )
            except errors.PgStateError as error:
                # its lease ends
                _log.warning("run %s, whose caller was cancelled, was not given back: %s", key, error)

    async def get(self, key: str) -> RunInfo | None:
        """One run, None if there is none. Raises InvalidKey, AccessDenied."""
        full = self._key(key)
        with self._to(f"read run {full}", "read", full):
            rows = await self._core.call(
                lambda c, left: runs.runs(c, full, 1, None, None, self._agent, timeout=left), self._timeout
            )
        return self._info(rows[0]) if rows else None

    async def list(
        self,
        pattern: str = "",
        *,
        states: Sequence[str] | None = None,
        limit: int | None = 1000,
        after: str | None = None,
    ) -> list[RunInfo]:
        """Runs that match a pattern and that the agent may read, in key order. `states`: waiting, running, done,
        failed, cancelled; `after` is the last key of the page before. Raises InvalidPattern, InvalidArgument,
        AccessDenied."""
        full = self._pattern(pattern)
        start = None if after is None else self._key(after)
        wanted = None if states is None else [*states]
        with self._to(f"list runs of {full or 'everything'}", "read", full):
            rows = await self._core.call(
                lambda c, left: runs.runs(c, full, limit, start, wanted, self._agent, timeout=left), self._timeout
            )
        return [self._info(row) for row in rows]

    def _info(self, row: Row) -> RunInfo:
        told = {"result": decode_told(row["result"]), "input": decode_told(row["input"])}
        return RunInfo(**{**row, **told, "key": row["key"][self._skip :]})

    async def steps(self, key: str) -> builtins.list[StepInfo]:
        """The steps of a run, in the order of its code; none if there is no run. Raises InvalidKey, AccessDenied."""
        full = self._key(key)
        with self._to(f"read run {full}", "read", full):
            rows = await self._core.call(
                lambda c, left: runs.run_steps(c, full, self._agent, timeout=left), self._timeout
            )
        return [StepInfo(**{**row, "result": decode_told(row["result"])}) for row in rows]

    # unions and annotated types are no type[T]
    @overload
    async def result(self, key: str, *, wait: Seconds | None = ..., as_: type[T]) -> T: ...
    @overload
    async def result(self, key: str, *, wait: Seconds | None = ..., as_: Any = ...) -> Any: ...
    async def result(self, key: str, *, wait: Seconds | None = None, as_: Any = None) -> Any:
        """What a run has returned; waits up to `wait` seconds for its end. Raises Timeout if it has not ended by then,
        RunMissing, RunCancelled, StepFailed with the error that it failed with, InvalidKey, AccessDenied."""
        full = self._key(key)
        core = self._core.following("result")
        patience = math.inf if wait == math.inf else seconds(wait or 0).total_seconds()
        ends = asyncio.get_running_loop().time() + patience
        async with Stirred(core, self._name, [full]) as stirred:
            while (found := await self.get(key)) is None or found.ended_at is None:
                if found is None:
                    raise self._missing(key)
                left = ends - asyncio.get_running_loop().time()
                if left <= 0:
                    raise errors.Timeout(f"run {key} has not ended yet: it is {found.state}")
                await stirred.wait(min(left, LOOK_AGAIN))
        row = await self._open(key, None)
        if row["state"] == "cancelled":
            raise errors.RunCancelled(f"run {key} was cancelled", key)
        if row["state"] == "failed":
            said = (row["result"] or b"").decode(errors="replace")
            raise errors.StepFailed(f"run {key} failed: {said}", key, None, said)
        return self._values.load(row["result_type"], row["result"], as_)

    def _missing(self, key: str, step: str | None = None) -> errors.RunMissing:
        return errors.RunMissing(f"there is no run {key}" + (f", or it has no step {step}" if step else ""), key)

    async def signal(self, key: str, name: str, payload: Any = None) -> None:
        """Sends a signal to a run, which keeps it until a `wait_signal` of that name takes it, once, whatever dies
        meanwhile. Raises RunMissing, RunEnded, InvalidKey, InvalidValue, AccessDenied (takes read and write)."""
        full = self._key(key)
        type_, data = await self._values.checked(full, payload)
        await self._change(
            key,
            f"signal run {full}",
            lambda c, lane, left: runs.signal_run(
                c, full, name, type_, data, lane.id, lane.turn, self._agent, timeout=left
            ),
        )

    async def cancel(self, key: str) -> bool:
        """Cancels a run. False while there may be something to undo: then who works on it is interrupted, or else the
        next worker that knows its workflow takes it up, undoes that, the last first, and the run is cancelled when that
        is done. A run without a workflow's name that nobody works on ends at once, and nothing is undone.

        Raises RunMissing, RunEnded, InvalidKey, AccessDenied (takes read and write)."""
        full = self._key(key)
        status = await self._change(
            key,
            f"cancel run {full}",
            lambda c, lane, left: runs.cancel_run(c, full, lane.id, lane.turn, self._agent, timeout=left),
        )
        return status == "ok"

    async def retry(self, key: str) -> bool:
        """Lets a failed or cancelled run go on; the steps that it failed with are done again. One that undid what it
        had done begins anew. False if it is open. Raises RunMissing, RunEnded for one that is done, InvalidKey,
        AccessDenied (takes read and write)."""
        full = self._key(key)
        status = await self._change(
            key,
            f"retry run {full}",
            lambda c, lane, left: runs.retry_run(c, full, lane.id, lane.turn, self._agent, timeout=left),
        )
        return status == "ok"

    async def fork(self, key: str, target: str, from_step: str | None = None) -> None:
        """Makes a run under another key with the results that one had before a step (None: all), to go on its own way
        from there. Raises RunMissing, RunHeld when there is a run under `target`, InvalidKey, AccessDenied (takes read
        here, read and write there)."""
        full, to = self._key(key), self._key(target)
        await self._change(
            key,
            f"fork run {full} to {to}",
            lambda c, lane, left: runs.fork_run(c, full, to, from_step, lane.id, lane.turn, self._agent, timeout=left),
            target,
            from_step,
        )

    async def delete(self, key: str) -> bool:
        """Deletes a run with its steps; was there one? Raises RunHeld while somebody works on it, InvalidKey,
        AccessDenied (takes read and write)."""
        full = self._key(key)
        try:
            await self._change(
                key,
                f"delete run {full}",
                lambda c, lane, left: runs.delete_run(c, full, None, lane.id, lane.turn, self._agent, timeout=left),
            )
        except errors.RunMissing:
            return False
        return True

    async def _change(
        self,
        key: str,
        what: str,
        call: Callable[[Any, Lane | NoLane, float], Any],
        target: str | None = None,
        step: str | None = None,
    ) -> str:
        with self._to(what, _BOTH):
            row = await self._core.call_once(call, self._agent, self._timeout)
        status = str(row["status"])
        if status == "missing":
            raise self._missing(key, step)
        if status in ("ended", "done"):
            raise errors.RunEnded(f"run {key} has ended", key)
        if status in ("held", "conflict"):
            self._core.stats.conflicts += 1
            raise errors.RunHeld(
                f"somebody works on run {key}" if target is None else f"there is a run {target} already", target or key
            )
        return status

    def run(
        self,
        key: str,
        *,
        lease: Seconds = 30.0,
        wait: Seconds | None = None,
        name: str | None = None,
        input: Any = None,
        version: str | None = None,
        timeout: Seconds | None = None,
        ttl: Seconds | None = None,
    ) -> RunBlock:
        """See `State.run`."""
        return RunBlock(self, key, lease, wait, name, input, version, timeout, ttl)

    async def worker(
        self,
        workflows: Mapping[str, Handler] | Sequence[Any],
        *,
        pattern: str = "",
        concurrency: int = 8,
        lease: Seconds = 30.0,
        schedules: str | None = None,
        version: str | None = None,
        grace: Seconds = 10.0,
        stop: asyncio.Event | None = None,
        signals: Sequence[int] = (SIGTERM,),
    ) -> int:
        """Works on runs of these workflows, `concurrency` at once, until it is told to stop: by a signal, or by `stop`.
        Returns how many have ended well.

        `workflows` are `{"report": report}` with `async def report(run, input)`, or functions made by
        `@pgstate.workflow`, which have a version of their own; `version` is that of the others. Runs whose worker died
        are taken up when its lease has ended. When it is told to stop, runs under way have `grace` seconds to end; the
        others are given back, and go on elsewhere. `schedules` is a pattern of schedules to start runs by. Raises
        InvalidArgument, InvalidPattern, AccessDenied."""
        if concurrency < 1:
            raise errors.InvalidArgument("concurrency is at least 1")
        core = self._core.following("a worker")
        worker = RunWorker(self, core, workflows, self._pattern(pattern), lease, version, schedules, stop)
        return await worker.run(concurrency, seconds(grace).total_seconds(), signals)

    async def _take(self, codes: Mapping[str, str | None], limit: int, span: timedelta, pattern: str) -> Sequence[Row]:
        async def ask() -> Sequence[Row]:
            return await self._core.call_once(
                lambda c, lane, left: runs.take_runs(
                    c, [*codes], limit, span, pattern, [*codes.values()], lane.id, lane.turn, self._agent, timeout=left
                ),
                self._agent,
                self._timeout,
            )

        with self._to(f"work on runs of {pattern or 'everything'}", _BOTH, pattern):
            return await claimed_or_given_back(self._core.following("a worker"), ask(), self._give_back)

    async def schedule(
        self,
        key: str,
        workflow: str,
        cron: str,
        input: Any = None,
        *,
        timezone: str = "UTC",
        priority: int | None = None,
    ) -> datetime:
        """Has runs of a workflow started by a cron expression ("0 9 * * MON-FRI"), under `key/<time>`, by whichever
        worker follows `schedules`; returns when the first is due. The schedule is an entry, which `delete` ends; times
        that nobody was there for are made up for by one run. Needs pgstate[cron]. Raises InvalidArgument, InvalidKey,
        AccessDenied."""
        due = next_time(cron, timezone)
        plan = {
            "cron": cron,
            "timezone": timezone,
            "workflow": workflow,
            "input": input,
            "priority": priority,
            "next": due.isoformat(),
        }
        await self._state.put(key, plan, not_before=due)
        return due

    async def _finish_together(
        self, batch: Sequence[Operation], lane: Lane | NoLane, lock_timeout: str | None, left: float
    ) -> Sequence[Row]:
        arguments = [[*column] for column in zip(*(o.args for o in batch), strict=True)]
        due_ats = arguments.pop()
        columns: Columns = [[o.key for o in batch], *arguments]
        columns.append(None if due_ats.count(None) == len(batch) else due_ats)
        rows = await self._core.once(
            lambda c: runs.finish_steps(c, columns, lane.id, lane.turn, lock_timeout, self._agent, timeout=left), left
        )
        if rows[0]["watched"]:
            self._core.wake([o.key for o, row in zip(batch, rows, strict=True) if row["status"] == "ok"], self._agent)
        return rows


class Durable(Area):
    """run, runs."""

    @property
    def runs(self) -> Runs:
        """Durable runs: start, signal, cancel, retry, fork, delete, list them, and work on them."""
        return Runs(self, self._bound)  # type: ignore[arg-type]

    def _bound(self, core: BoundCore) -> Any:
        raise NotImplementedError

    def run(
        self,
        key: str,
        *,
        lease: Seconds = 30.0,
        wait: Seconds | None = None,
        name: str | None = None,
        input: Any = None,
        version: str | None = None,
        timeout: Seconds | None = None,
        ttl: Seconds | None = None,
        serializer: Serializer = JSON,
    ) -> RunBlock:
        """`async with state.run("research/report-42") as run:` begins a run, or goes on with it: each `run.step` whose
        result is recorded returns that without calling its function.

        One worker has a run at a time, by a lease of `lease` seconds that is renewed meanwhile; `wait` says how long to
        wait for it. When the block ends the run is done; when it raises, the run has failed, and entering it again does
        the steps again that it failed with. A run that is done is replayed: its steps return what is recorded. A
        process that dies leaves it to the next.

        `name` is the workflow that workers know it by, `input` what they are given. `version` is that of the code: with
        another one, the order of the steps before does not count. `timeout` is how long the run may take, `ttl` how
        long it stays after each change. Raises RunHeld, RunCancelled, InvalidKey, InvalidArgument, WrongKind,
        AccessDenied (takes read and write); in the block LeaseLost, RunCancelled, RunTimeout; at its end StepMismatch
        when the run has recorded more steps."""
        area = Runs(self, self._bound, serializer)  # type: ignore[arg-type]
        return area.run(key, lease=lease, wait=wait, name=name, input=input, version=version, timeout=timeout, ttl=ttl)
