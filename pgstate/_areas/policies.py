"""Rules for subtrees, and what they keep."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from pgstate import errors
from pgstate._areas._base import Area, seconds
from pgstate._calls import policies
from pgstate._calls._run import Connection
from pgstate._json import decode, encode
from pgstate._shapes._part import drop_defaults
from pgstate.types import Maintained, Policy, PolicySetting, Seconds


class Policies(Area):
    """set_policy, drop_policy, policies, explain_policy, reducers, maintain."""

    async def set_policy(
        self,
        subtree: str,
        *,
        reducer: str | None = None,
        ttl: Seconds | None = None,
        keep: int | timedelta | str | None = None,
        value_limit: int | None = None,
        schema: Any = None,
        max_attempts: int | None = None,
        backoff: Seconds | None = None,
        backoff_limit: Seconds | None = None,
        dead_letter: str | None = None,
        claimed_writes: bool | None = None,
        guard: str | None = None,
        trust: str | None = None,
    ) -> None:
        """Rules for a key, a subtree (research/**) or everything (**), named in full also in a namespace. What is given
        is set, the rest stays as it is; for each key the nearest subtree that sets something decides it.

        `reducer` is the default of `merge`. `ttl` (seconds) is that of what is written without one, 0 for none. `keep`
        is the history kept: a number of versions, a timedelta, or "everything". `value_limit` is in bytes, at most the
        installation's. `schema` is a JSON Schema (a mapping or bool) or a type whose schema Pydantic knows: values
        written from now on must fit it. `max_attempts` is how often work is claimed in vain before it is given up,
        `dead_letter` the subtree ("tasks/dead", named in full) that it is moved to then, `backoff` and `backoff_limit`
        (seconds) the pause after its first failure and the longest. `claimed_writes` lets claimed entries be written
        without the token. `guard` is what becomes of writes that hold a secret: "refuse", which holds without a policy
        (SecretRefused), "redact", or "off". `trust` is the most that what is written there
        is trusted, whoever writes it. Raises InvalidPattern, UnknownReducer, InvalidArgument (which names the
        keyword of a schema that the database cannot check), AccessDenied (needs admin on all of the subtree, and on
        that of `dead_letter`), QuotaExceeded (20 ages in `keep`, of one who does not administer everything).
        """
        span = None if ttl is None else seconds(ttl)
        kept, rule = _keep(keep), _schema(schema)
        needs = "admin" if dead_letter is None else f"admin, on {dead_letter}/** too"
        with self._to(f"set the policy on {subtree}", needs, subtree):
            await self._core.call(
                lambda c, left: policies.set_policy(
                    c,
                    subtree,
                    reducer,
                    span,
                    kept,
                    value_limit,
                    rule,
                    self._agent,
                    max_attempts,
                    None if backoff is None else seconds(backoff),
                    None if backoff_limit is None else seconds(backoff_limit),
                    dead_letter,
                    claimed_writes,
                    guard,
                    trust,
                    timeout=left,
                ),
                self._timeout,
            )

    async def drop_policy(self, subtree: str, settings: Sequence[str] | None = None) -> None:
        """Takes the policy on a key or subtree away, or only some of its settings (reducer, ttl, keep, value_limit,
        schema, max_attempts, backoff, backoff_limit, dead_letter, claimed_writes, guard, trust). Raises InvalidPattern,
        InvalidArgument when there is no such policy, AccessDenied."""
        with self._to(f"drop the policy on {subtree}", "admin", subtree):
            await self._change(policies.drop_policy, subtree, None if settings is None else list(settings))

    async def policies(self) -> list[Policy]:
        """The policies that hold for keys within the acting agent's grants."""
        rows = await self._core.call(lambda c, left: policies.policies(c, self._agent, timeout=left), self._timeout)
        return [Policy(**{**row, "schema": None if row["schema"] is None else decode(row["schema"])}) for row in rows]

    async def explain_policy(self, key: str) -> list[PolicySetting]:
        """What holds for a key: each setting, its value, and the subtree whose policy sets it. Raises InvalidKey,
        AccessDenied (needs read or write on the key, whether or not it exists)."""
        full = self._key(key)
        with self._to(f"see the policies for {full}", "read or write", full):
            rows = await self._core.call(
                lambda c, left: policies.explain_policy(c, full, self._agent, timeout=left), self._timeout
            )
        return [
            PolicySetting(row["setting"], None if row["value"] is None else decode(row["value"]), row["subtree"])
            for row in rows
        ]

    async def register_reducer(self, name: str, function: str) -> None:
        """Registers a function of the database, such as "app.longest", that policies may name as a reducer: immutable,
        (jsonb, jsonb) -> jsonb, and callable by pgstate_api. Raises InvalidArgument, which says what it lacks, and
        AccessDenied (needs admin on everything)."""
        named = function if "(" in function else f"{function}(jsonb,jsonb)"
        with self._to(f"register reducer {name}", "admin on everything"):
            await self._change(policies.register_reducer, name, named)

    async def drop_reducer(self, name: str) -> None:
        """Forgets a registered reducer that no policy uses. Raises as `register_reducer`."""
        with self._to(f"drop reducer {name}", "admin on everything"):
            await self._change(policies.drop_reducer, name)

    async def maintain(self, limit: int = 5000) -> Maintained:
        """One step of what connected clients do by themselves every ten seconds: removes versions that no policy keeps,
        and indexes for search what was there before `set_search`. `limit` is how many versions it looks at, 1 to
        100,000, and ten times how many keys it indexes. Raises InvalidArgument, AccessDenied."""
        row = await self._core.call(lambda c, left: policies.maintain(c, limit, timeout=left), self._timeout)
        return Maintained(**row)

    async def _change(self, call: Any, *args: Any) -> None:
        # once: a second try of what may have happened would say that there is nothing to drop
        async def run(connection: Connection) -> None:
            outcome: Awaitable[None] = call(connection, *args, self._agent, timeout=self._timeout)
            await outcome

        await self._core.once(run, self._timeout)


def _keep(keep: int | timedelta | str | None) -> str | None:
    if isinstance(keep, timedelta):
        return f"{keep // timedelta(microseconds=1)} microseconds"
    return None if keep is None else str(keep)


def _schema(schema: Any) -> str | None:
    if schema is None:
        return None
    if not isinstance(schema, Mapping | bool):
        try:
            schema = TypeAdapter(schema).json_schema()
        except Exception as error:
            raise errors.InvalidArgument(f"Pydantic has no JSON Schema of {schema!r}: {error}") from error
        drop_defaults(schema)
    return encode(schema)
