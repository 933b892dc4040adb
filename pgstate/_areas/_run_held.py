"""A run that is held: how it is interrupted, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pgstate import errors
from pgstate._areas._held import Held
from pgstate._areas._records import Place, Records, Values
from pgstate._areas._retry import Retry
from pgstate._calls import runs
from pgstate._core import Core
from pgstate.types import Claim, Row, Seconds

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
)


class HeldRun(Held):
    """What a run is besides its steps."""

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

    @property
    def cancelled(self) -> bool:
        """Somebody cancelled the run: for functions in threads, which are not interrupted."""
        return isinstance(self._halted, errors.RunCancelled)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._loop.time() + self._server_ahead, self._zone)

    def _check_going_on(self) -> None:
        if self.lost:
            raise self._loss()
        if self._halted is not None and not self._undoing:
            raise self._halted

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
        elif isinstance(error, Exception) and not isinstance(error, NOT_ITS_FAULT):
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
