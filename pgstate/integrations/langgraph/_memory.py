"""What a client remembers of threads that it has read or saved, so that it serializes and sends only what is new. The
database looks all the same, and says what is not there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import RLock
from typing import Any, TypeAlias

from pgstate._codec import Leaves

_HASHES = 200_000  # some 100 bytes each
_BYTES = 32 << 20

# an agent, a thread's key, a namespace
Place: TypeAlias = tuple[str | None, str, str]


@dataclass(frozen=True)
class Root:
    """What the root of a checkpoint has of a channel, and the chunks that it reaches."""

    version: Any
    type: str
    data: bytes
    hashes: frozenset[bytes]


@dataclass(frozen=True)
class Seen:
    """A checkpoint that is there."""

    id: str
    roots: Mapping[str, Root]


class Memory:
    """The checkpoint seen last of each namespace of a thread, of those seen last."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Place, Seen] = OrderedDict()
        self._count = 0
        # of the threads saved last, with the bytes that they hold
        self._leaves: OrderedDict[Place, tuple[Mapping[str, Leaves], int]] = OrderedDict()
        self._bytes = 0
        # synchronous callers are served on a loop in another thread
        self._guard = RLock()

    def last(self, place: Place) -> Seen:
        """The checkpoint seen last."""
        return self._seen.get(place) or Seen("", {})

    def leaves(self, place: Place) -> Mapping[str, Leaves]:
        """What the lists of that checkpoint were made of, if it was saved here lately."""
        return self._leaves.get(place, ({}, 0))[0]

    def keep(self, place: Place, seen: Seen, leaves: Mapping[str, Leaves] | None = None) -> None:
        """One that was read or saved."""
        with self._guard:
            self.forget(place)
            self._seen[place] = seen
            self._count += _size(seen)
            while self._count > _HASHES and len(self._seen) > 1:
                self.forget(next(iter(self._seen)))
            if leaves:
                size = sum(len(data) for parts in leaves.values() for (_, data), _ in parts.values())
                self._leaves[place] = leaves, size
                self._bytes += size
                while self._bytes > _BYTES:
                    self._bytes -= self._leaves.popitem(last=False)[1][1]

    def forget(self, place: Place) -> None:
        """What is known there is so no more."""
        with self._guard:
            self._count -= _size(self._seen.pop(place, None))
            self._bytes -= self._leaves.pop(place, ({}, 0))[1]


def _size(seen: Seen | None) -> int:
    # one for itself
    return 0 if seen is None else 1 + sum(1 + len(root.hashes) for root in seen.roots.values())
