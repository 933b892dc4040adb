"""Handles of credentials, which stand in values in their place, and what they are resolved to at the moment of use."""

from __future__ import annotations

import inspect
import re
from typing import Any

from pgstate import _guard, errors
from pgstate._areas._base import Area
from pgstate._calls import access
from pgstate._calls._run import Connection
from pgstate.types import CredentialGrant

_HANDLE = re.compile(r"\$CRED\{([A-Za-z0-9._-]{1,128})\}")


class Credentials(Area):
    """resolve, allow_credential, disallow_credential, credentials."""

    async def resolve(self, value: Any, *, purpose: str) -> Any:
        """A value with credentials in place of the handles `$CRED{name}` in its texts (keys of mappings are left), for
        use at once: each is checked, recorded in the audit trail, and had from the resolver of
        `connect(credentials=…)`. What it gives is remembered by this process: wherever it would be
        written from now on, the handle is.

        Raises AccessDenied (an administrator says by `allow_credential` who may have which credential for what),
        InvalidArgument when there is no resolver, or it does not know the name.
        """
        found: dict[str, str] = {}
        for name in dict.fromkeys(_names(value)):
            found[name] = await self._resolved(name, purpose)
        return _filled(value, found) if found else value

    async def _resolved(self, name: str, purpose: str) -> str:
        resolver = self._core.guard.resolver
        if resolver is None:
            raise errors.InvalidArgument("there is no resolver of credentials: connect(credentials=…)")
        with self._to(f"have $CRED{{{name}}} resolved for {purpose}", "allow_credential"):
            # not sent again: each use is recorded
            await self._core.once(
                lambda c: access.use_credential(c, name, purpose, self._agent, timeout=self._timeout), self._timeout
            )
        given = resolver(name, purpose)
        if inspect.isawaitable(given):
            given = await given
        if not isinstance(given, str):
            raise errors.InvalidArgument(f"the resolver has no credential {name} for {purpose}")
        _guard.remember(given, f"$CRED{{{name}}}")
        return given

    async def allow_credential(self, agent: str, name: str, purpose: str) -> None:
        """Lets an agent have `$CRED{name}` resolved for a purpose; * is any. Raises InvalidArgument, AccessDenied
        (needs admin on everything)."""
        await self._change_credential(access.allow_credential, agent, name, purpose)

    async def disallow_credential(self, agent: str, name: str, purpose: str) -> None:
        """Takes back exactly what `allow_credential` gave. Raises as it does, and InvalidArgument where there is no
        such thing."""
        await self._change_credential(access.disallow_credential, agent, name, purpose)

    async def credentials(self) -> list[CredentialGrant]:
        """Which credentials agents may have resolved; without admin on everything, only the acting agent's own."""
        with self._to("list credentials"):
            rows = await self._core.call(
                lambda c, left: access.credentials(c, self._agent, timeout=left), self._timeout
            )
        return [CredentialGrant(**row) for row in rows]

    async def _change_credential(self, call: Any, agent: str, name: str, purpose: str) -> None:
        async def run(connection: Connection) -> None:
            await call(connection, agent, name, purpose, timeout=self._timeout)

        with self._to(f"say who may use $CRED{{{name}}}", "admin on everything"):
            await self._core.once(run, self._timeout)


def _names(value: Any) -> list[str]:
    if isinstance(value, str):
        return _HANDLE.findall(value)
    if isinstance(value, dict):
        value = list(value.values())
    return [name for one in value for name in _names(one)] if isinstance(value, list | tuple) else []


def _filled(value: Any, found: dict[str, str]) -> Any:
    if isinstance(value, str):
        return _HANDLE.sub(lambda match: found[match[1]], value)
    if isinstance(value, dict):
        return {name: _filled(one, found) for name, one in value.items()}
    if isinstance(value, list | tuple):
        filled = [_filled(one, found) for one in value]
        if isinstance(value, list):
            return filled
        # a named one takes its parts one by one
        return value._make(filled) if hasattr(value, "_make") else tuple(filled)
    return value
