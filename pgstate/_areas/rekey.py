"""Sealing anew, under the current key, what is stored under others.

The database cannot decrypt: blocks of its tables are gone through, what is sealed under another key comes here, and
goes back sealed anew, to be put in its place unless that has changed meanwhile. Chunks of checkpoints are named by
hashes of their bytes, so then pages, roots, and at last the old chunks are seen to, in the database. Each call is a
short transaction that waits for no lock; what was passed over is met in the next round.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence

from pgstate import errors
from pgstate._areas._base import Area
from pgstate._calls import encryption as calls
from pgstate._codec import unpack
from pgstate.encryption import Keys
from pgstate.types import Rekeyed, RekeyProgress, Row, Unopened

# blocks of 8 kB that a call goes through
_BLOCKS = 32
_MOST_ROUNDS = 5
_MOST_DEPTH = 8
_MOST_COLLECTED = 10_000
_MOST_TOLD = 1000
# seconds for what is one statement, however much there is
_COUNTING = 3600.0
_THREADS = ("chunk", "checkpoint", "header", "pending_write")


class Rekeying(Area):
    """rekey."""

    async def rekey(self, progress: Callable[[RekeyProgress], None] | None = None) -> Rekeyed:
        """Seals under the current key of `connect(encryption=Keys(…))` what is stored under its others: checkpoints,
        pending writes, and what runs have recorded. Have all clients write with the new key before; the old one may be
        deleted when the result is `complete`. What does not open is passed over, and told: as long as it is there its
        key is needed, unless you know that it is junk, which whoever may write can write.

        It may be stopped at any time and called again: what is done is passed over. Others go on meanwhile, and wait
        for a batch at most; what they hold locked in long transactions is left, and counted. `progress` is called after
        each batch. Raises InvalidArgument (without encryption), InTransaction, AccessDenied (needs admin on
        everything).
        """
        self._core.following("rekey")
        keys = self._core.guard.keys
        if keys is None:
            raise errors.InvalidArgument("there are no keys: connect(encryption=Keys(…))")
        with self._to("seal everything anew", "admin on everything"):
            rewritten = 0
            for number in range(1, _MOST_ROUNDS + 1):
                done = _Round(self, keys, number, rewritten, progress)
                await done.run()
                rewritten, before = done.rewritten, rewritten
                # what does not open is told of the last round: by then what nothing named is gone
                if rewritten == before or not done.keys.keys() - {keys.current}:
                    break
        return Rekeyed(
            keys.current, rewritten, done.unopened.total(), dict(done.keys), done.left, tuple(done.unopened_at)
        )


class _Round:
    """Once through all that is sealed."""

    def __init__(
        self, area: Rekeying, keys: Keys, number: int, rewritten: int, progress: Callable[[RekeyProgress], None] | None
    ) -> None:
        self._core, self._agent, self._timeout = area._core, area._agent, area._timeout
        self._keys = keys
        self._number = number
        self._progress = progress
        self._done = self._total = 0
        self.rewritten = rewritten
        self.unopened: Counter[str] = Counter()
        self.unopened_at: list[Unopened] = []
        self.keys: Counter[str] = Counter()

    @property
    def left(self) -> int:
        """How many payloads are under another key though they may open."""
        # about that many, while others write: what did not open may be gone by now
        return sum(max(count - self.unopened[key], 0) for key, count in self.keys.items() if key != self._keys.current)

    async def run(self) -> None:
        rows = await self._core.call(lambda c, left: calls.sealed_parts(c, self._agent, timeout=left), self._timeout)
        parts: dict[str, int] = {row["part"]: row["blocks"] for row in rows}
        self._total = 2 * sum(parts.values()) + 2 * parts["chunk"] + parts["checkpoint"]
        await self._anew("chunk", parts["chunk"])
        # from the leaves up; in the end the roots
        for depth in range(_MOST_DEPTH):
            if not await self._refs(depth, "chunk", parts["chunk"]):
                break
        await self._refs(None, "checkpoint", parts["checkpoint"])
        for part in parts:
            if part != "chunk":
                await self._anew(part, parts[part])
        for _ in range(_MOST_COLLECTED):
            if not await self._core.call(
                lambda c, left: calls.rekey_collect(c, self._agent, timeout=left), self._timeout
            ):
                break
            self._tell("removing what was replaced")
        for part, blocks in parts.items():
            await self._count(part)
            self._step(blocks, f"counting: {part}")
        self._done = self._total
        self._tell("done")

    async def _anew(self, part: str, blocks: int) -> None:
        for first in range(0, blocks, _BLOCKS):
            after: str | None = None
            more = True
            while more:
                rows = await self._old(part, first, after)
                more = bool(rows) and rows[-1]["more"]
                after = rows[-1]["place"] if rows else None
                await self._replace(part, rows)
            self._step(min(_BLOCKS, blocks - first), f"sealing anew: {part}")

    async def _old(self, part: str, first: int, after: str | None) -> Sequence[Row]:
        return await self._core.call(
            lambda c, left: calls.sealed_data(
                c, part, first, _BLOCKS, self._keys.current, after, self._agent, timeout=left
            ),
            self._timeout,
        )

    async def _replace(self, part: str, rows: Sequence[Row]) -> None:
        places: list[str] = []
        fields: list[int] = []
        digests: list[bytes] = []
        data: list[bytes] = []
        for row in rows:
            try:
                new = _sealed_anew(self._keys, row, ("langgraph", row["key"] or "") if part in _THREADS else ("",))
            except errors.InvalidValue:
                named = _sealed_under(row["type"], row["data"])
                self.unopened[named] += 1
                if len(self.unopened_at) < _MOST_TOLD:
                    self.unopened_at.append(Unopened(part, row["key"], row["name"], named))
                continue
            places.append(row["place"])
            fields.append(row["field"])
            digests.append(hashlib.sha256(row["data"]).digest())
            data.append(new)
        if places:
            self.rewritten += await self._core.call(
                lambda c, left: calls.rekey_data(c, part, places, fields, digests, data, self._agent, timeout=left),
                self._timeout,
            )

    async def _refs(self, depth: int | None, part: str, blocks: int) -> bool:
        """Were there any of this depth?"""
        found = False
        for first in range(0, blocks, _BLOCKS):
            start = first
            done = await self._core.call(
                lambda c, left: calls.rekey_refs(c, depth, start, _BLOCKS, self._agent, timeout=left),  # noqa: B023 - awaited here
                self._timeout,
            )
            found = found or done is not None
            self._step(min(_BLOCKS, blocks - first) if depth in (0, None) else 0, f"naming anew: {part}")
        return found

    async def _count(self, part: str) -> None:
        rows = await self._core.call(
            lambda c, left: calls.sealed_keys(c, part, self._agent, timeout=left), max(self._timeout, _COUNTING)
        )
        for row in rows:
            self.keys[_text(row["id"])] += row["payloads"]

    def _step(self, blocks: int, stage: str) -> None:
        self._done += blocks
        self._tell(stage)

    def _tell(self, stage: str) -> None:
        if self._progress is not None:
            self._progress(RekeyProgress(self._number, stage, self._done, self._total, self.rewritten))


def _sealed_anew(keys: Keys, row: Row, origins: Sequence[str]) -> bytes:
    """Raises InvalidValue for what does not open."""
    if not row["type"].startswith("+"):
        return keys.reseal(row["data"], origins)
    parts = [keys.reseal(part, origins) for part in unpack(row["data"])]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _sealed_under(type_: str, data: bytes) -> str:
    """The id of the key that a payload names, as the database has it."""
    length = 5 if type_.startswith("+") else 1
    return _text(data[length + 1 : length + 1 + data[length]]) if len(data) > length + 1 else ""


def _text(id: bytes) -> str:
    return id.decode("utf-8", "replace")
