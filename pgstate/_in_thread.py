"""Functions of the application's, called in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """What a function returns or raises, called in a thread of the event loop's."""
    return await asyncio.to_thread(call, function, *args, **kwargs)


def call(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Calls it, in a thread. StopIteration becomes RuntimeError, as in a coroutine: no future takes it, and up to
    Python 3.11 whoever awaits one that was to have it waits for ever."""
    try:
        return function(*args, **kwargs)
    except StopIteration as error:
        name = getattr(function, "__qualname__", type(function).__qualname__)
        raise RuntimeError(f"{name} raised StopIteration") from error
