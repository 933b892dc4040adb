"""A run that is held: how it is interrupted, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pgstate import errors
from pgstate._areas._held import Held
from pgstate._areas._records import UNDOING, Place, Records, Values
from pgstate._areas._retry import Retry
from pgstate._areas._step import Context
from pgstate._calls import runs
from pgstate._calls._run import ReadOnly
from pgstate._core import Core
from pgstate.types import UNSET, Claim, Row, Seconds

if TYPE_CHECKING:
    from pgstate._areas.runs import Runs

_log = logging.getLogger("pgstate")
# not the run's failure: it goes on when this is over
NOT_ITS_FAULT = (
    errors.Unreachable,
    errors.Timeout,
    errors.Closed,
    errors.StaleToken,
    errors.LeaseLost,
    errors.StepMismatch,
    ReadOnly,
)


class SetDown(errors.RunError):
    """All of the run waits: its worker lets go of it, for `ready_in`, or until a signal or the end of a child."""

    def __init__(self, key: str, ready_in: timedelta | None, children: list[str]) -> None:
        super().__init__(f"run {key} waits, without a worker", key)
        self.ready_in = ready_in
        self.children = children


class HeldRun(Held):
    """What a run is besides its steps."""

    def __init__(self, area: Runs, core: Core, row: Row, lease: timedelta, sent: float, values: Values) -> None:
        # before the claim begins to renew itself: nobody ends what was not made
        result = values.load(row["result_type"], row["result"]) if row["state"] == "done" else None
        claim = Claim(row["key"][area._skip :], None, 0, row["token"] or 0, row["lease_until"], row["attempts"] or 0)
        records = Records(row, claim.key, asyncio.current_task())
        super().__init__(area._state, core, claim, lease, sent, None)
        self._runs = area
        self._full: str = row["key"]
        self._values = values
        self._records = records
        self._server_ahead = row["at"].timestamp() - self._loop.time()
        self._zone = row["at"].tzinfo
        self._seed: UUID = row["seed"]
        self.name: str | None = row["name"]
        """The workflow, if it has a name."""
        self._stored_input: tuple[str | None, bytes | None] = row["input_type"], row["input"]
        self._input: Any = UNSET
        self.result: Any = result
        # in the order in which what they undo was done, which a replay may not come by
        self._undos: list[tuple[tuple[int, int], str, Callable[..., Any], tuple[Any, ...]]] = []
        # why the block is to end, other than by the loss of its lease
        self._halted: errors.RunError | None = None
        # the block was cancelled for that
        self._interrupted = False
        # what the run fails with: it undoes what it had done, or a worker before began to
        self._failing = self._records.failing
        # steps that are being performed
        self._busy = 0
        self._undoing = False
        self._settling = False
        self._deadline: asyncio.TimerHandle | None = None
        if not self._records.open:
            self._stop()
        else:
            area._watched.add(self)
            if row["cancelled"]:
                self._halted = errors.RunCancelled(f"run {self.key} was cancelled", self.key)
            elif self._failing is not None:
                self._halted = errors.StepFailed(
                    f"run {self.key} failed: {self._failing}", self.key, None, self._failing
                )
            elif row["deadline"] is not None:
                left = (row["deadline"] - row["at"]).total_seconds()
                late = errors.RunTimeout(f"run {self.key} took longer than its timeout", self.key)
                if left > 0:
                    self._deadline = self._loop.call_later(left, self._halt, late)
                else:
                    self._halted = late

    @property
    def input(self) -> Any:
        """What it was started with. Raises InvalidValue when that cannot be read here."""
        if self._input is UNSET:
            self._input = self._values.load(*self._stored_input)
        return self._input

    @property
    def finished(self) -> bool:
        """It has ended before: this is a replay."""
        return not self._records.open

    @property
    def cancelled(self) -> bool:
        """Somebody cancelled the run: for functions in threads, which are not interrupted."""
        return isinstance(self._halted, errors.RunCancelled)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._loop.time() + self._server_ahead, self._zone)

    def _place(self, name: str) -> Place:
        """The next call of a name. Raises StepMismatch, InvalidArgument."""
        return self._records.place(name)

    def _check_going_on(self) -> None:
        """Before anything new. One that has to end when it is taken up comes as far as it was, by what is recorded, so
        that it knows what there is to undo."""
        if self.lost:
            raise self._loss()
        if self._halted is not None and not self._undoing:
            raise self._halted
        if self._over and not self.finished:
            raise errors.RunEnded(
                f"the block of run {self.key} has ended, and a task of it has not: wait for those in it", self.key
            )

    def _halt(self, error: errors.RunError) -> None:
        """Interrupts the block, for this reason."""
        if self._halted is None and not (self._settling or self._over or self.lost):
            self._halted = error
            if self._body is not None:
                self._interrupted = True
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
                unfit = await self._end(mismatch or error)
            except errors.StaleToken as stale:
                raise self._loss() from stale
            except asyncio.CancelledError as cancelled:
                if not self.lost:
                    # while it undid what it had done: the next worker goes on with that
                    await self._give_back(None)
                    raise
                error = cancelled
            else:
                if (own := mismatch or unfit) is not None:
                    raise own
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
        left = self._body.uncancel() if self._interrupted else self._body.cancelling()
        if left > self._cancelling and reached:
            return error if isinstance(error, asyncio.CancelledError) else asyncio.CancelledError()
        if (
            error is None
            or isinstance(self._halted, SetDown)
            or isinstance(error, asyncio.CancelledError | BaseExceptionGroup)
        ):
            return self._halted
        return error

    async def _end(self, error: BaseException | None) -> Exception | None:
        """The block has ended: how, is recorded, and returned where it failed only then, by a result that cannot be
        kept. The lease is renewed until then."""
        unfit: Exception | None = None
        if error is None:
            unfit = await self._end_well()
        if (error := error or unfit) is None:
            return None
        if isinstance(error, SetDown):
            await self._close("open", None, None, error.ready_in, error.children)
        elif isinstance(error, Exception) and not isinstance(error, NOT_ITS_FAULT):
            said = self._failing or self._values.said(error)
            await self._undo(said)
            if isinstance(error, errors.RunCancelled):
                await self._close("cancelled", None, None)
            else:
                await self._close("failed", "error", said.encode("utf-8", "replace"))
        else:
            # not the run's fault: others go on with it, at once unless they would only do the same
            await self._give_back(timedelta(seconds=30) if isinstance(error, errors.StepMismatch) else None)
        return unfit

    async def _end_well(self) -> Exception | None:
        """Records the result. Returns what keeps it from that: whoever went on with the run would come to the same."""
        try:
            type_, data = await self._values.checked(self._full, self.result)
        except Exception as unfit:
            # whatever a serializer raises
            return unfit
        try:
            await self._close("done", type_, data)
        except (errors.InvalidValue, errors.SecretRefused, errors.ValueTooLarge) as unfit:
            # to undo what it had done
            await self._go_on()
            return unfit
        return None

    async def _give_back(self, ready_in: timedelta | None) -> None:
        async def give_back() -> None:
            # suppressed here: who is cancelled meanwhile does not come back for it
            with suppress(errors.PgStateError):
                await self._close("open", None, None, ready_in)

        await asyncio.shield(self._core.spawn(give_back()))

    def _to_undo(self, after: int, name: str, function: Callable[..., Any], *args: Any) -> None:
        """When the run ends badly a function is to be called: before what undoes what was finished earlier."""
        count = self._records.count(f"undo:{name}")
        id = f"undo:{name}" if count == 1 else f"undo#{count}:{name}"
        self._undos.append(((after, len(self._undos)), id, function, args))

    async def _undo(self, said: str) -> None:
        """Calls what undoes what was done, the last first. That it has begun is recorded before: whoever goes on with
        the run undoes the rest, and does nothing else."""
        self._undoing = True
        if self._undos and self._failing is None:
            self._failing = said
            where = Place(UNDOING, "undo", self._records._position, False)
            await self._record(where, "undo", "failed", "error", said.encode("utf-8", "replace"), 1, self._loop.time())
        for _, id, function, args in sorted(self._undos, key=itemgetter(0), reverse=True):
            place = Place(id, id, self._records._position, False)
            try:
                await self._step(place, "undo", function, args, {}, None, None, None, None)
            except errors.StepFailed as failed:
                _log.warning("%s", failed)

    async def _close(
        self,
        state: str,
        type: str | None,
        data: bytes | None,
        ready_in: timedelta | None = None,
        waits_for: list[str] | None = None,
    ) -> None:
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
                waits_for,
                timeout=left,
            ),
            self._runs._agent,
            self._runs._timeout,
        )
        self._stop()
        if row["status"] != "ok":
            raise errors.StaleToken(f"run {self.key} is held by another worker, or gone", self.key)

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
        raise NotImplementedError

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
        raise NotImplementedError
