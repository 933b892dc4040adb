"""The change feed: cursors, changes, watches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pgstate._areas._base import Area, some
from pgstate._areas._detected import inspected, read_or_refuse
from pgstate._areas._watch import Watch
from pgstate._calls import feed
from pgstate._json import decode
from pgstate.types import Change, ChangePage


class Feed(Area):
    """cursor, changes, watch."""

    async def cursor(self) -> str:
        """The point that the change feed is at now: `changes` and `watch(since=...)` tell all that comes after it."""
        with self._to("have a cursor"):
            return await self._core.call(lambda c, left: feed.cursor(c, self._agent, timeout=left), self._timeout)

    async def changes(
        self, cursor: str, patterns: str | Sequence[str] = "", *, limit: int = 1000, min_trust: str | None = None
    ) -> ChangePage:
        """Changes after a cursor, in order, of keys that match any of the patterns and that the agent may read.

        `limit` is 1 to 10,000; `min_trust` leaves out versions that are trusted less.
        Raises CursorInvalid, CursorExpired (list again then), FeedUnavailable, InvalidPattern,
        AccessDenied.
        """
        full = self._patterns(patterns)
        with self._to(f"see changes of {some(full)}", "read"):
            *rows, bookmark = await self._core.call(
                lambda c, left: feed.changes(c, cursor, full, limit, None, self._agent, min_trust, timeout=left),
                self._timeout,
            )
        read = decode
        if (detection := self._core.guard.detection) is not None:
            rows, read = await inspected(detection, rows), read_or_refuse
        return ChangePage([Change(row, read, self._skip) for row in rows], bookmark["cursor"], not bookmark["whole"])

    def watch(
        self,
        patterns: str | Sequence[str] = "",
        *,
        since: str | None = None,
        initial: bool = False,
        min_trust: str | None = None,
    ) -> Watch:
        """Follows changes as they happen: `async for change in state.watch("tasks/*")`.

        Every matching change that the agent may read comes exactly once, versions of a key in order, across lost
        connections and restarts of the server. `since` goes on from a cursor (of a change, a page or a listing);
        without it the watch begins when it is first awaited. With `initial` the entries that match now come first, then
        what changes, without a gap. With `min_trust` only versions that
        are trusted at least so far come. A slow consumer holds nobody up. Raises CursorExpired when it cannot go on.
        """
        full = self._patterns(patterns)
        core = self._core.following("watch")
        denied = partial(self._denied, what=f"watch {some(full)}", needs="read")
        return Watch(core, self._agent, self._name, full, self._skip, self._timeout, since, initial, denied, min_trust)

    def _patterns(self, patterns: str | Sequence[str]) -> list[str]:
        return [self._pattern(pattern) for pattern in ([patterns] if isinstance(patterns, str) else patterns)]
