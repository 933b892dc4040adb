"""Claims that wait together are served together: one statement for all who ask the same of one client.

Who waits for work polls nothing: a write, a release, or the end of a lease, of a not_before or of a pause after a
failure makes the one that is asked for all look again."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import timedelta
from typing import Any

from pgstate import errors
from pgstate._areas._stir import Stirred
from pgstate._calls import claims
from pgstate._core import Core
from pgstate.types import Row

_log = logging.getLogger("pgstate")

_MAX_BATCH = 256


class _Waiter:
    __slots__ = ("counted", "deadline", "future")

    def __init__(self, deadline: float) -> None:
        # answered by then, at the first look after it
        self.deadline = deadline
        # it was there when the last statement was sent: what that did not find was not there for it
        self.counted = False
        self.future: asyncio.Future[Row] = asyncio.get_running_loop().create_future()


class Claimer:
    """All who claim by one pattern, lease and trust as one agent. It runs while somebody waits."""

    def __init__(
        self,
        core: Core,
        agent: str | None,
        name: str,
        pattern: str,
        lease: timedelta,
        min_trust: str | None,
        timeout: float,
        forget: Callable[[], object],
    ) -> None:
        self._core = core
        self._forget = forget
        self._agent = agent
        self._pattern = pattern
        self._lease = lease
        self._min_trust = min_trust
        self._timeout = timeout
        self._waiters: deque[_Waiter] = deque()
        self._stirred = Stirred(core, name, [pattern])
        self._running = False

    async def take(self, wait: float | None) -> Row:
        """A claim, or the row that says that there is nothing; with `wait`, only after that many seconds. A caller that
        is cancelled takes nothing: what was claimed for it goes to the next, or back."""
        waiter = _Waiter(0.0 if wait is None else asyncio.get_running_loop().time() + wait)
        self._waiters.append(waiter)
        self._stirred.stir()
        if not self._running:
            self._running = True
            self._core.spawn(self._run())
        try:
            return await waiter.future
        except asyncio.CancelledError:
            future = waiter.future
            if future.done() and not future.cancelled() and future.exception() is None:
                self._hand_out([future.result()])
            raise

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._stirred.calm()
                waiting = self._drop_gone()
                if not waiting:
                    return
                for waiter in self._waiters:
                    waiter.counted = True
                asked = loop.time()
                rows = await self._ask(min(waiting, _MAX_BATCH))
                if self._hand_out([{**row, "sent": asked} for row in rows]):
                    continue
                self._answer(asked, rows[-1])
                if self._waiters:
                    await self._nap(rows[-1]["retry_in"])
        except Exception as error:
            for waiter in self._waiters:
                if not waiter.future.done():
                    waiter.future.set_exception(error)
        finally:
            self._running = False
            self._stirred.leave()
            if not self._drop_gone():
                self._forget()
            elif not self._core.closed:
                # somebody came meanwhile
                self._running = True
                self._core.spawn(self._run())

    async def _ask(self, limit: int) -> Sequence[Row]:
        return await self._core.call_once(
            lambda c, lane, left: claims.claim_many(
                c, self._pattern, limit, self._lease, lane.id, lane.turn, self._agent, self._min_trust, timeout=left
            ),
            self._agent,
            self._timeout,
        )

    def _drop_gone(self) -> int:
        self._waiters = deque(waiter for waiter in self._waiters if not waiter.future.done())
        return len(self._waiters)

    def _hand_out(self, rows: Iterable[Row]) -> bool:
        """Gives claims to those who wait, first come first served, and those that nobody wants back. Was there one for
        each?"""
        spare: list[Row] = []
        served = True
        for row in rows:
            if row["status"] != "ok":
                served = False
                continue
            while self._waiters and self._waiters[0].future.done():
                self._waiters.popleft()
            if self._waiters:
                self._waiters.popleft().future.set_result(row)
            else:
                spare.append(row)
        if spare:
            self._core.spawn(give_back(self._core, self._agent, spare, self._timeout))
        return served

    def _answer(self, asked: float, nothing: Row) -> None:
        """Tells those whose time was over when the statement was sent that there is nothing."""
        for waiter in self._waiters:
            if waiter.counted and waiter.deadline <= asked and not waiter.future.done():
                waiter.future.set_result(nothing)
        self._drop_gone()

    async def _nap(self, retry_in: timedelta | None) -> None:
        nap = min(waiter.deadline for waiter in self._waiters) - asyncio.get_running_loop().time()
        if retry_in is not None:
            nap = min(nap, max(retry_in.total_seconds(), 0.0) + 0.001)
        await self._stirred.wait(nap)


async def claimed_or_given_back(
    core: Core,
    asking: Coroutine[Any, Any, Sequence[Row]],
    give_back: Callable[[list[Row]], Coroutine[Any, Any, None]],
) -> Sequence[Row]:
    """What is claimed; where the caller is cancelled it is given back, since nobody knows of it."""
    task = core.spawn(asking)

    def back(done: asyncio.Task[Sequence[Row]]) -> None:
        if not done.cancelled() and done.exception() is None:
            rows = [row for row in done.result() if row["status"] == "ok"]
            if rows:
                core.spawn(give_back(rows))

    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(back)
        raise


async def give_back(core: Core, agent: str | None, rows: Sequence[Row], timeout: float) -> None:
    """Releases claims of callers that were cancelled: nobody knows of them."""
    keys, tokens = [row["key"] for row in rows], [row["token"] for row in rows]
    try:
        await core.call(lambda c, left: claims.release_many(c, keys, tokens, agent, timeout=left), timeout)
    except errors.PgStateError as error:
        # their leases end
        _log.warning("%d claims of cancelled callers were not given back: %s", len(rows), error)
