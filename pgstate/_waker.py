"""Wake-ups of watchers, after the commits of this process."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from pgstate._calls import feed
from pgstate._calls._run import Connection
from pgstate._source import Source, using
from pgstate.types import Stats

_log = logging.getLogger("pgstate")

_LEAST_INTERVAL = 0.002
# For so long after a wake-up writes are taken to be watched. To be ready for commit and wake-up in one round trip costs
# a put a thirtieth, which is in vain where nobody watches.
_WATCHED = 60.0


class Waker:
    """Wakes watchers after commits, at once when idle, and once every few milliseconds while writes go on."""

    def __init__(self, source: Source, stats: Stats, timeout: float) -> None:
        self._source = source
        self._stats = stats
        self._timeout = timeout
        # by agent: one that may no longer act must not take the others' wake-ups with it
        self._keys: dict[str | None, set[str]] = {}
        self._task: asyncio.Task[None] | None = None
        self._woken_at = -_WATCHED

    @property
    def wanted(self) -> bool:
        """Whether a lone write is to wake its watchers itself: somebody watches what is written here, no wake-up is
        under way, and the last one is a while ago."""
        if self._task is not None and not self._task.done():
            return False
        return _LEAST_INTERVAL < asyncio.get_running_loop().time() - self._woken_at < _WATCHED

    def woken(self) -> None:
        """A write has woken its watchers."""
        self._stats.wakeups_sent += 1
        self._woken_at = asyncio.get_running_loop().time()

    def wake(self, keys: list[str], agent: str | None) -> None:
        """Wakes whoever watches these keys."""
        self._keys.setdefault(agent, set()).update(keys)
        self._woken_at = asyncio.get_running_loop().time()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._send(), name="pgstate-wake")

    async def _send(self) -> None:
        while self._keys:
            agent, keys = self._keys.popitem()
            self._stats.wakeups_sent += 1
            try:
                wake = partial(_wake, keys=list(keys), agent=agent, timeout=self._timeout)
                await using(self._source, wake, self._timeout)
            except Exception as error:  # what is the application's, such as hooks of its pool, may raise anything
                # watchers poll: it is late, not lost
                _log.info("a wake-up was not sent: %s", error)
            await asyncio.sleep(_LEAST_INTERVAL)

    async def close(self) -> None:
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)


async def _wake(connection: Connection, keys: list[str], agent: str | None, timeout: float) -> None:
    await feed.wake(connection, keys, agent, timeout=timeout)
