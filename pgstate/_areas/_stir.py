"""Waiting for something to change without asking again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from pgstate import errors
from pgstate._core import Core
from pgstate._hub import Tap
from pgstate.types import Row

# Without a wake-up it is time to look again after this.
LOOK_AGAIN = 5.0


class Stirred:
    """`async with Stirred(core, agent's name, patterns) as stirred:` look, `await stirred.wait(seconds)`, look again.

    A change of what matches ends a wait, and so does one since the last; a release, which makes no change, too. As long
    as the feed cannot be followed, a second does."""

    def __init__(self, core: Core, name: str, patterns: list[str], wanted: Callable[[Row], bool] | None = None) -> None:
        self._core = core
        self._name = name
        self._patterns = patterns
        # with `wanted` only changes that it says are
        self._wanted = wanted
        self._event = asyncio.Event()
        self._tap: Tap | None = None
        self._joining: asyncio.Future[str] | None = None
        self._broken: Exception | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()

    async def wait(self, patience: float) -> None:
        """Until something changed, for `patience` seconds at most; the first time not at all, since what came before
        the feed is followed must be looked for. Raises what keeps the feed from being followed."""
        if self._joining is None:
            self._tap = Tap(
                self._name, self._patterns, self._deliver, self._event.set if self._wanted is None else None
            )
            self._tap.broken = self._break
            # not waited for: as long as the feed cannot be followed, looking again each second has to do
            self._joining = asyncio.ensure_future(self._core.hub.attach(self._tap))
            self._joining.add_done_callback(lambda _: self._event.set())
        if self._joining.done():
            self._joining.result()
        if self._broken is not None:
            raise self._broken
        try:
            async with asyncio.timeout(max(min(patience, LOOK_AGAIN if self._joining.done() else 1.0), 0)):
                await self._event.wait()
        except TimeoutError:
            return
        finally:
            self._event.clear()

    def stir(self) -> None:
        """Ends a wait."""
        self._event.set()

    def calm(self) -> None:
        """Before one looks: what changed until now ends no wait any more."""
        self._event.clear()

    def leave(self) -> None:
        """Follows the feed no longer; the next wait begins anew."""
        if self._joining is not None:
            self._joining.cancel()
            self._joining.add_done_callback(_look_at)
        if self._tap is not None:
            self._core.hub.detach(self._tap)
        self._tap = self._joining = self._broken = None

    def _deliver(self, row: Row) -> None:
        if self._wanted is None or self._wanted(row):
            self._event.set()

    def _break(self, error: Exception) -> None:
        if isinstance(error, errors.CursorExpired):
            # what is waited for is there or not, whatever was told before: it is looked for, and the feed joined again
            self.leave()
        else:
            self._broken = error
        self._event.set()


def _look_at(future: asyncio.Future[str]) -> None:
    # what went wrong was told already, or nobody waits any more
    if not future.cancelled():
        future.exception()
