"""Claims that renew themselves in the background: work, locks, leadership.

The body under one is cancelled as soon as the lease is lost, by this process's own clock when the server does not
answer: it counts from before the statement was sent, so it is never later than the server's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from datetime import datetime, timedelta
from inspect import isawaitable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pgstate import errors
from pgstate._areas._base import said
from pgstate._areas._endings import hold
from pgstate._core import Core
from pgstate.types import Claim, Failed, Seconds

if TYPE_CHECKING:
    from pgstate._areas.claims import Claims

_log = logging.getLogger("pgstate")

# Renewed this often within a lease, so that one renewal may fail.
_RENEWALS = 3
Loss = Callable[[errors.LeaseLost], Awaitable[None] | None]
T = TypeVar("T")
H = TypeVar("H", bound="Held")


class Held:
    """A claim that is held: `key`, and `token`, which every write to it takes. It is renewed until the block ends."""

    def __init__(
        self, area: Claims, core: Core, claim: Claim, lease: timedelta, sent: float, on_loss: Loss | None
    ) -> None:
        self._area = area
        self._core = core
        self._claim = claim
        self._lease = lease
        self._on_loss = on_loss
        self._loop = asyncio.get_running_loop()
        # by our clock, not after the server's end of it
        self._ends = sent + lease.total_seconds()
        self._body = asyncio.current_task()
        self._cancelling = self._body.cancelling() if self._body is not None else 0
        self._cancelled = False
        self._over = False
        # what is under way will make the token stale: a renewal that comes behind it has lost nothing
        self._ending = False
        self._doubted = False
        self._renewing: asyncio.Task[None] | None = None
        self._timer = self._loop.call_at(sent + lease.total_seconds() / _RENEWALS, self._renew_soon)
        self.lost = False
        """The lease was lost."""

    @property
    def key(self) -> str:
        """The key."""
        return self._claim.key

    @property
    def token(self) -> int:
        """The fencing token: give it to every write under the claim."""
        return self._claim.token

    @property
    def attempts(self) -> int:
        """How often the entry was claimed, this time included."""
        return self._claim.attempts

    @property
    def lease_until(self) -> datetime:
        """When the lease ends unless it is renewed, by the server's clock."""
        return self._claim.lease_until

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key={self.key!r}, token={self.token})"

    def _renew_soon(self) -> None:
        self._renewing = self._loop.create_task(self._renew(), name="pgstate-renew")

    async def _renew(self) -> None:
        try:
            kept = await self._keep()
        except Exception:
            # whatever it was: nobody renews this any more
            _log.exception("the claim of %s was not renewed", self.key)
            kept = False
        if not kept and not self._over:
            if self._ending:
                self._doubted = True
            else:
                await self._lose()

    async def _keep(self) -> bool:
        """Renews it, as often as it takes. False when it is lost."""
        while not self._over:
            sent = self._loop.time()
            left = self._ends - sent
            if left <= 0:
                break
            try:
                # those that share a statement wait as long as the most patient of them
                async with asyncio.timeout_at(self._ends):
                    self._claim = await self._area._renew_together(self._claim, self._lease, left)
            except (TimeoutError, errors.Timeout, errors.Unreachable, errors.DatabaseError) as error:
                _log.info("the claim of %s was not renewed yet: %s", self.key, error)
                await asyncio.sleep(min(0.05, max(self._ends - self._loop.time(), 0)))
            except errors.PgStateError as error:
                _log.info("the claim of %s was not renewed: %s", self.key, error)
                break
            else:
                self._ends = sent + self._lease.total_seconds()
                self._timer = self._loop.call_at(sent + self._lease.total_seconds() / _RENEWALS, self._renew_soon)
                return True
        return False

    async def _lose(self) -> None:
        self.lost = True
        if self._on_loss is not None:
            try:
                told = self._on_loss(self._loss())
                if isawaitable(told):
                    await told
            except Exception:
                _log.exception("on_loss of %s", self.key)
        elif self._body is not None:
            self._cancelled = True
            self._body.cancel()

    async def _go_on(self) -> None:
        """What was to end it has not: a renewal that finds it gone counts again."""
        self._ending = False
        if self._doubted:
            await self._lose()

    def _loss(self) -> errors.LeaseLost:
        return errors.LeaseLost(
            f"the claim of {self.key} (token {self.token}) was lost: its lease ended, or somebody ended it", self.key
        )

    def _stop(self) -> None:
        self._over = True
        self._timer.cancel()
        if self._renewing is not None and not self.lost:
            self._renewing.cancel()

    async def _settle(self, error: BaseException | None) -> None:
        """End of the block: raises LeaseLost in place of the cancellation that a loss was."""
        self._stop()
        if self.lost:
            await self._end_lost(error)
            return
        await self._finish(error)

    async def _end_lost(self, error: BaseException | None) -> None:
        cancelled = isinstance(error, asyncio.CancelledError)
        if self._cancelled and self._body is not None:
            reached = False
            try:
                # the body may have ended before its cancellation reached it, which then reaches this
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                reached = True
            if self._body.uncancel() > self._cancelling and (cancelled or reached):
                # somebody else cancelled it as well
                if cancelled:
                    return
                raise asyncio.CancelledError from error
        # on_loss was told, and the block went on for reasons of its own
        if (error is None and self._on_loss is None) or (cancelled and self._cancelled):
            raise self._loss() from error

    async def _finish(self, error: BaseException | None) -> None:
        """The claim is given back, whatever ended the block."""
        await self._certainly(self._area.release(self.key, self.token), error)

    async def _certainly(self, ending: Coroutine[Any, Any, Any], error: BaseException | None) -> None:
        """Ends the claim even if this is cancelled meanwhile. What goes wrong must not hide what ended the block."""
        under_way = self._core.spawn(ending)
        try:
            await asyncio.shield(under_way)
        except asyncio.CancelledError:
            under_way.add_done_callback(self._ended_alone)
            raise
        except errors.PgStateError as failed:
            if error is None:
                raise
            self._left(failed)

    def _ended_alone(self, ending: asyncio.Task[Any]) -> None:
        # asked for: asyncio reports an exception that nobody has seen
        failed = None if ending.cancelled() else ending.exception()
        if failed is not None:
            self._left(failed)

    def _left(self, failed: BaseException) -> None:
        _log.warning("the claim of %s is left to its end: %s", self.key, failed)


class Lock(Held):
    """A lock that is held: `token` is the fencing token, which writes to the locked key take."""


class Task(Held):
    """Claimed work: `key`, `value`, `token`, `attempts`. When the block ends it is completed, or fails with what was
    raised, unless it was completed, failed or released in the block: by these methods, or by those of a `State`, in a
    transaction of yours too (`State.bind`). What is ended by SQL of yours, or in another process, is lost to the block,
    which raises LeaseLost."""

    _settled = False
    _completed = False
    # by another call than those here, in a transaction that may yet be rolled back
    _ended = False

    def __init__(
        self, area: Claims, core: Core, claim: Claim, lease: timedelta, sent: float, on_loss: Loss | None
    ) -> None:
        super().__init__(area, core, claim, lease, sent, on_loss)
        hold(area._key(claim.key), self)

    def _end_elsewhere(self, bound: bool, completing: bool) -> None:
        self._completed = completing
        if bound:
            self._ended = True
        else:
            self._settled = True
            self._stop()

    def _not_ended(self, was_ending: bool) -> None:
        self._ending = was_ending
        if self._doubted and not was_ending and not self._over:
            self._core.spawn(self._lose())

    @property
    def value(self) -> Any:
        """The entry's value when it was claimed."""
        return self._claim.value

    @property
    def version(self) -> int:
        """The entry's version when it was claimed."""
        return self._claim.version

    async def complete(self, result: Any = None, *, move_to: str | None = None, op_id: str | None = None) -> int:
        """As `State.complete`; `*` in `move_to` stands for the last segment of the key ("tasks/done/*")."""
        to = None if move_to is None else move_to.replace("*", self.key.rsplit("/", 1)[-1])
        version = await self._end(self._area.complete(self.key, self.token, result, move_to=to, op_id=op_id))
        self._completed = True
        return version

    async def fail(self, error: str | None = None, retry_in: Seconds | None = None) -> Failed:
        """As `State.fail`."""
        return await self._end(self._area.fail(self.key, self.token, error, retry_in))

    async def release(self) -> bool:
        """As `State.release`: for others to claim at once; it does not count as an attempt."""
        return await self._end(self._area.release(self.key, self.token))

    async def _end(self, ending: Awaitable[T]) -> T:
        self._ending = True
        try:
            ended = await ending
        except BaseException:
            await self._go_on()
            raise
        self._settled = True
        self._stop()
        return ended

    async def _finish(self, error: BaseException | None) -> None:
        if self._settled or (self._ended and error is None):
            # should that transaction be rolled back, the lease ends, and others try it again
            return
        if error is None:
            try:
                await self._certainly(self._area.complete(self.key, self.token), None)
            except errors.StaleToken as stale:
                raise self._loss() from stale
        elif isinstance(error, Exception):
            await self._certainly(self._area.fail(self.key, self.token, said(error)), error)
        else:
            # cancelled: not the work's fault
            await super()._finish(error)


class Holding(Generic[H]):
    """`async with` holds it and gives it back; `claim_next` has a plain `await` too."""

    def __init__(self, hold: Callable[[], Awaitable[H | None]]) -> None:
        self._hold = hold
        self._held: H | None = None

    async def _enter(self) -> H | None:
        if self._held is not None:
            raise RuntimeError("it is held already: make a new one for each block")
        self._held = await self._hold()
        return self._held

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        held, self._held = self._held, None
        if held is not None:
            await held._settle(error)


class Claiming(Holding[Task]):
    """What `claim_next` returns."""

    def __init__(
        self, take: Callable[[], Coroutine[Any, Any, Claim | None]], hold: Callable[[], Awaitable[Task | None]]
    ) -> None:
        super().__init__(hold)
        self._take = take

    def __await__(self) -> Generator[Any, None, Claim | None]:
        return self._take().__await__()

    async def __aenter__(self) -> Task | None:
        return await self._enter()


class Locking(Holding[Lock]):
    """What `lock`, `semaphore` and `leader` return."""

    async def __aenter__(self) -> Lock:
        lock = await self._enter()
        assert lock is not None
        return lock
