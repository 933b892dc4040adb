"""The application's own detector: what `connect(detector=…)` takes, and what it may say of a value.

It is asked for every value that this client writes, before it is sent (of checkpoints and runs before it is
serialized), and for every value that `get`, `get_many`, `list`, `changes` and `watch` bring. Other clients are not
bound by it, nor is SQL: what must hold for all of them is a matter of policies and grants.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Protocol, TypeAlias

from pgstate.errors import InvalidArgument, ValueRefused
from pgstate.types import TRUST

_log = logging.getLogger("pgstate")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a detector says of a value. `refuse` names the rule by which it is refused; `labels`, of what is read, are
    shown by `render_for_prompt`; `trust`, of what is written, is the most that the value is to be trusted, where writes
    declare trust (not those of `put_embedded`, checkpoints, runs and results of tasks). InvalidArgument for another."""

    refuse: str | None = None
    labels: tuple[str, ...] = ()
    trust: str | None = None

    def __post_init__(self) -> None:
        if self.trust is not None and self.trust not in TRUST:
            raise InvalidArgument(f"trust is one of {', '.join(TRUST)}")


Answer: TypeAlias = "Verdict | Awaitable[Verdict | None] | None"


class Detector(Protocol):
    """Methods may be coroutine functions. `key` is the full key; of a checkpoint's channel or write that of its thread,
    of a step, an input or a signal that of its run. None says nothing against a value.

    A detector that raises, or returns something else, refuses (rule `detector_failed`); with an attribute `fail_open`
    that is true it lets pass, and that is logged.
    """

    def on_write(self, key: str, value: Any, /) -> Answer:
        """Of a value that is to be written."""

    def on_read(self, key: str, value: Any, /) -> Answer:
        """Of a value that was read."""


class Detection:
    """A detector, and what follows from what it says."""

    def __init__(self, detector: Detector) -> None:
        if not callable(getattr(detector, "on_write", None)) or not callable(getattr(detector, "on_read", None)):
            raise InvalidArgument("a detector has the methods on_write and on_read")
        self._detector = detector
        self._open = bool(getattr(detector, "fail_open", False))

    async def written(self, key: str, value: Any, trust: str | None = None) -> str | None:
        """The trust to declare in place of what was. Raises ValueRefused."""
        verdict = await self._ask("write", key, value)
        # one that is none is for the server to refuse
        if verdict is None or verdict.trust is None or trust not in (None, *TRUST):
            return trust
        return verdict.trust if trust is None else min(trust, verdict.trust, key=TRUST.index)

    async def read(self, key: str, value: Any) -> tuple[str, ...]:
        """The labels. Raises ValueRefused."""
        verdict = await self._ask("read", key, value)
        return () if verdict is None else verdict.labels

    async def _ask(self, what: str, key: str, value: Any) -> Verdict | None:
        failed = None
        try:
            verdict: Any = (
                self._detector.on_write(key, value) if what == "write" else self._detector.on_read(key, value)
            )
            if isawaitable(verdict):
                verdict = await verdict
            if verdict is not None and not isinstance(verdict, Verdict):
                failed = "neither a Verdict nor None"
        except Exception as error:
            # not what it says: that may hold the value
            failed = type(error).__name__
        if failed is not None:
            _log.warning("the detector failed on the %s of %s: %s", what, key, failed)
            if self._open:
                return None
            verdict = Verdict("detector_failed")
        found: Verdict | None = verdict
        if found is not None and found.refuse is not None:
            raise ValueRefused(f"the {what} of {key} is refused by the rule {found.refuse}", key, found.refuse)
        return found
