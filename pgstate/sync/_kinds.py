"""What calls return that goes on: watches, and what is held in a block."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pgstate._areas import _held, _typed_watch, _watch
from pgstate.sync._loop import current
from pgstate.sync._proxy import Block, Stream
from pgstate.types import Change, Claim

if TYPE_CHECKING:
    from pgstate.sync._calls import Lock, Task

T = TypeVar("T")


class Watch(Stream[_watch.Watch, Change]):
    """Changes as they happen: `for` over it, or `with` to begin at once and to end for certain. `cursor` is where it
    has come. What interrupts the waiting loses nothing: the next one goes on with the same change."""


class TypedWatch(Stream[_typed_watch.TypedWatch[T], T | None]):
    """States as they become: `for` over it, or `with` to begin at once and to end for certain. `cursor` is the point in
    the feed of the state that came last, for `TypedState.diff`."""


class Claiming(Block["Task | None"]):
    """What `claim_next` returns: a block, or `take()`."""

    def __init__(self, claiming: _held.Claiming, kind: type[Task]) -> None:
        super().__init__(claiming, lambda task: None if task is None else kind(lambda: task))
        self._claiming = claiming

    def take(self) -> Claim | None:
        """A claim that is left to the caller, who renews, completes or releases it; None if there is none."""

        self._check_process()

        async def take() -> Claim | None:
            return await self._claiming

        return current().run(take())


class Locking(Block["Lock"]):
    """What `lock`, `semaphore` and `leader` return."""

    def __init__(self, locking: _held.Locking, kind: type[Lock]) -> None:
        super().__init__(locking, lambda lock: kind(lambda: lock))
