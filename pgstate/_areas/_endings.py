"""Claimed work that a block of this process holds, for those who end it by other means than the block's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from pgstate._areas._held import Task

# by key and token
_held: WeakValueDictionary[tuple[str, int], Task] = WeakValueDictionary()


def hold(full: str, task: Task) -> None:
    """It is held from now on, as long as there is somebody who has it."""
    _held[full, task.token] = task


@contextmanager
def ending(claims: Iterable[tuple[str, int | None]], *, bound: bool, completing: bool) -> Iterator[Callable[[], None]]:
    """Around a call that ends claims; what it gives is called when it has. `bound`: unless the caller's transaction is
    rolled back, which nobody tells."""
    if not _held:
        yield _nothing
        return
    tasks = [task for full, token in claims if token is not None and (task := _held.get((full, token))) is not None]
    before = [(task, task._ending) for task in tasks]
    ended: list[bool] = []
    for task in tasks:
        # a renewal that comes behind it has lost nothing
        task._ending = True
    try:
        yield lambda: ended.append(True)
    finally:
        for task, was in before:
            if ended:
                task._end_elsewhere(bound, completing)
            else:
                task._not_ended(was)


def _nothing() -> None:
    pass
