"""Where a store's searches wait for their place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pgstate import errors

# Searches under way: a graph may ask for thousands at once, each of which takes a connection. The others wait here,
# before their time begins to run, and leave what else is called a place in the line for connections.
_SEARCHES = 32


class Room:
    """Where searches wait for their place: as long as any are answered."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(_SEARCHES)
        self._answered = self._failed = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Raises Timeout where those before it ran out of their time, and nobody was answered meanwhile."""
        before = self._answered, self._failed
        async with self._places:
            if self._answered == before[0] and self._failed > before[1]:
                raise errors.Timeout("no answer in time: none of the searches before this one was answered")
            try:
                yield
            except (errors.Timeout, errors.Unreachable):
                self._failed += 1
                raise
            self._answered += 1
