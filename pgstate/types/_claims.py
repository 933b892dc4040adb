"""Claims, and what became of claimed work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pgstate.errors import InvalidValue


@dataclass(frozen=True, slots=True, repr=False)
class Claim:
    """Exclusive ownership of an entry until `lease_until`. `token` is the fencing token that every write takes. `value`
    is looked at by who wants it: one that Python cannot read raises InvalidValue there, and the claim can still be
    failed."""

    key: str
    _value: Any
    version: int
    token: int
    lease_until: datetime
    attempts: int

    @property
    def value(self) -> Any:
        """What the entry held when it was claimed."""
        if isinstance(self._value, InvalidValue):
            raise self._value
        return self._value

    def __repr__(self) -> str:
        return (
            f"Claim(key={self.key!r}, value={self._value!r}, version={self.version}, token={self.token}, "
            f"lease_until={self.lease_until!r}, attempts={self.attempts})"
        )


@dataclass(frozen=True, slots=True)
class HeldClaim:
    """A claim as everybody sees it who may read the entry: `holder` is an agent, `lease_left` is by the server's clock,
    `attempts` counts the claims since the entry was created. The token is the holder's alone."""

    key: str
    holder: str
    lease_until: datetime
    lease_left: timedelta
    attempts: int
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class TaskState:
    """An entry as a piece of work. `state` is waiting, claimed (by `holder`, `lease_left` by the server's clock),
    failed (given up: `error`) or finished. `attempts` counts the claims (0 of a finished one: that is not kept),
    `error` is what the last failure said, and `next_try` when one that waits may be claimed, None for at once."""

    key: str
    state: str
    priority: int
    holder: str | None
    lease_until: datetime | None
    lease_left: timedelta | None
    attempts: int
    error: str | None
    next_try: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Failed:
    """What became of work that failed: it may be claimed again `retry_in` from now; None when its attempts were used
    up, and `moved_to` then says where it was moved, None that it stays."""

    attempts: int
    retry_in: timedelta | None
    moved_to: str | None


@dataclass(frozen=True, slots=True)
class ForcedRelease:
    """A claim that an operator ended: whose it was (None: nobody's, after a failure), until when, who ended it and
    through which login."""

    key: str
    at: datetime
    token: int
    holder: str | None
    lease_until: datetime | None
    attempts: int
    released_by: str
    via: str
