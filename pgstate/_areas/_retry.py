"""When a step that failed is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pgstate.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Retry:
    """`attempts` in all. The pause before the second is `backoff` seconds, doubled (`factor`) before each one after it
    up to `limit`, and shortened by chance by up to `jitter` of it, so that many that failed together do not come back
    together. `on`: what is tried again; anything else fails the step at once."""

    attempts: int = 3
    backoff: float = 1.0
    factor: float = 2.0
    limit: float = 60.0
    jitter: float = 0.5
    on: tuple[type[Exception], ...] = (Exception,)

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.backoff, self.limit) < 0 or self.factor < 1 or not 0 <= self.jitter <= 1:
            raise InvalidArgument("attempts and factor are at least 1, backoff and limit not negative, jitter 0 to 1")

    def pause(self, attempt: int, chance: float | None = None) -> float:
        """Seconds between this attempt and the next. `chance` is 0 to 1."""
        try:
            longest = min(self.backoff * float(self.factor) ** (attempt - 1), self.limit)
        except OverflowError:
            longest = self.limit if self.backoff else 0.0
        return longest * (1 - self.jitter * (random.random() if chance is None else chance))


ONCE = Retry(attempts=1)
