"""What every area of `State` stands on: the client's core, the acting agent, the namespace and the timeout."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pgstate import errors
from pgstate._core import Core
from pgstate._keys import check_key, check_pattern
from pgstate.types import Seconds


class Area:
    """A view of a client: one agent, keys relative to one prefix, one timeout. Views are cheap and share everything."""

    def __init__(self, core: Core, agent: str | None, prefix: str, timeout: float) -> None:
        self._core = core
        self._agent = agent
        self._prefix = prefix
        self._skip = len(prefix)
        self._timeout = timeout

    def _view(self, *, agent: str | None = None, prefix: str | None = None, timeout: float | None = None) -> Self:
        return type(self)(
            self._core,
            self._agent if agent is None else agent,
            self._prefix if prefix is None else prefix,
            self._timeout if timeout is None else timeout,
        )

    def _key(self, key: str) -> str:
        return check_key(self._prefix + key)

    def _pattern(self, pattern: str) -> str:
        if self._prefix and set(check_pattern(pattern).split("/")) <= {"", "**"}:
            # everything in the namespace, which its root is not: that has no key relative to it
            pattern = "*/**"
        return check_pattern(self._prefix + pattern)

    @property
    def _name(self) -> str:
        """The acting agent's name."""
        name = self._agent or self._core.info.agent
        if name is None:
            raise errors.AccessDenied("this login is a gateway: name the agent that acts, with as_agent(name)")
        return name


def seconds(span: Seconds) -> timedelta:
    """A duration given as seconds or timedelta."""
    if isinstance(span, timedelta):
        return span
    try:
        return timedelta(seconds=span)
    except (OverflowError, ValueError, TypeError) as error:
        raise errors.InvalidArgument(f"not a duration in seconds: {span!r}") from error
