"""Cancellations that nobody asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def failing_unless_cancelled() -> Iterator[None]:
    """Around the application's code: CancelledError becomes RuntimeError where nobody has cancelled this task.

    It is then that of another task or future, which the code has awaited. asyncio takes it for the end of this task,
    in which nothing has failed: what the code was to do would be passed over without a word, or be tried for ever."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("it awaited something that was cancelled, and was not cancelled itself") from error
