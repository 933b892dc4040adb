"""What every area of `State` stands on: the core, the acting agent, the namespace and the timeout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Self

from pgstate import errors
from pgstate._bound import BoundCore
from pgstate._core import Core
from pgstate._keys import check_key, check_pattern
from pgstate.types import AsOf, Seconds

# far more than is ever kept: a secret that the cut divides is behind that, also where those before it have become short
_MOST_SAID = 200_000


class Area:
    """A view of a client: one agent, keys relative to one prefix, one timeout. Views are cheap and share everything."""

    def __init__(self, core: Core | BoundCore, agent: str | None, prefix: str, timeout: float) -> None:
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
        info = self._core.info
        name = self._agent or (None if info is None else info.agent)
        if name is None:
            raise errors.AccessDenied("this login is a gateway: name the agent that acts, with as_agent(name)")
        return name

    @contextmanager
    def _to(self, what: str, needs: str | None = None, key: str | None = None) -> Iterator[None]:
        """Around a call: a denial then says who was denied what. `needs` are the rights that it takes there; without
        any, every agent may. `key` is where, for the audit trail."""
        try:
            yield
        except errors.AccessDenied as error:
            raise self._denied(error, what, needs, key) from error.__cause__

    def _denied(
        self, error: errors.AccessDenied, what: str, needs: str | None, key: str | None = None, recorded: bool = False
    ) -> errors.AccessDenied:
        """A denial by the database is the same for everything, so that it tells nothing of what is there. This adds
        what the caller knows already, and has the audit trail told, unless it is `recorded` there."""
        if not recorded and sqlstate_of(error) == "PS010":
            self._core.report_denial(what, key, self._agent)
        info = self._core.info
        if info is None:
            who = "this login's agent" if self._agent is None else f"agent {self._agent}"
            takes = "" if needs is None else f", which takes {needs}"
            # a refused row has the sentence alone, what was raised its hint too
            return errors.AccessDenied(f"{str(error).removesuffix('.')}. Asked: {who} to {what}{takes}")
        name = self._agent or info.agent
        if name is None or sqlstate_of(error) != "PS010":
            # a gateway that names nobody, or a login that may not even ask: it says so itself
            return error
        said = f"access denied: agent {name} may not {what}"
        if needs is not None:
            said += f", which takes {needs}: an administrator can grant_access({name!r}, subtree, right)"
        if name != info.agent:
            said += (
                f"; or login {info.login} may not act for {name}, or not without a ticket, or there is no such agent"
            )
        elif needs is None:
            said += f": login {info.login} is not registered any more"
        return errors.AccessDenied(said)


def sqlstate_of(error: errors.AccessDenied) -> str:
    """What the database called it. Refused rows have no cause, and only one reason."""
    return getattr(error.__cause__, "sqlstate", None) or "PS010"


def some(keys: Sequence[str]) -> str:
    """Keys or patterns for a message, the first of them if there are many."""
    shown = ", ".join(key or "everything" for key in keys[:5])
    return shown if len(keys) <= 5 else f"{shown} and {len(keys) - 5} more"


def said(error: BaseException) -> str:
    """An error in words, as it is recorded: not without end, and whatever its `__str__` does."""
    try:
        text = str(error)
    except Exception as again:
        text = f"its text raises {type(again).__name__}"
    # what PostgreSQL has no text of would be refused, and the failure with it
    text = text[:_MOST_SAID].encode("utf-8", "replace").decode().replace("\0", "\\0")
    return f"{type(error).__name__}: {text}"


def named(as_of: AsOf) -> tuple[int | None, str | None, datetime | None]:
    """Which past is meant, as the functions take it: version, cursor, time."""
    if isinstance(as_of, bool) or not isinstance(as_of, int | str | datetime):
        raise errors.InvalidArgument(f"as of a version, a cursor or a datetime, not {as_of!r}")
    if isinstance(as_of, datetime):
        return None, None, as_of
    return (as_of, None, None) if isinstance(as_of, int) else (None, as_of, None)


def seconds(span: Seconds) -> timedelta:
    """A duration given as seconds or timedelta."""
    if isinstance(span, timedelta):
        return span
    try:
        return timedelta(seconds=span)
    except (OverflowError, ValueError, TypeError) as error:
        raise errors.InvalidArgument(f"not a duration in seconds: {span!r}") from error
