"""What a client remembers of threads that it has read or saved, so that it serializes and sends only what is new. The
database looks all the same, and says what is not there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import RLock
from typing import Any, TypeAlias

_HASHES = 200_000  # some 100 bytes each

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
        # synchronous callers are served on a loop in another thread
        self._guard = RLock()

    def last(self, place: Place) -> Seen:
        """The checkpoint seen last."""
        return self._seen.get(place) or Seen("", {})

    def keep(self, place: Place, seen: Seen) -> None:
        """One that was read or saved."""
        with self._guard:
            self.forget(place)
            self._seen[place] = seen
            self._count += _size(seen)
            while self._count > _HASHES and len(self._seen) > 1:
                self.forget(next(iter(self._seen)))

    def forget(self, place: Place) -> None:
        """What is known there is so no more."""
        with self._guard:
            self._count -= _size(self._seen.pop(place, None))


def _size(seen: Seen | None) -> int:
    # one for itself
    return 0 if seen is None else 1 + sum(1 + len(root.hashes) for root in seen.roots.values())
