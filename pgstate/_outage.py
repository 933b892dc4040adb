"""What is said of a server that is away."""

from __future__ import annotations

import asyncio
import logging

_log = logging.getLogger("pgstate")


class Outage:
    """Says once that the server is lost and once that it is back: an hour without it is no thousand warnings."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._since: float | None = None

    def lost(self, error: Exception) -> None:
        """Another attempt has failed."""
        if self._since is None:
            self._since = asyncio.get_running_loop().time()
            _log.warning("%s lost the server and tries until it is back: %s", self._who, error)
        else:
            _log.debug("%s tries again: %s", self._who, error)

    def over(self) -> None:
        """An attempt has succeeded."""
        if self._since is not None:
            # as loud as the beginning, so that whoever saw that sees this
            _log.warning("%s goes on after %.1f s", self._who, asyncio.get_running_loop().time() - self._since)
            self._since = None
