"""What is done about an agent that has been taken over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from pgstate import errors
from pgstate._areas._base import Area, named, seconds
from pgstate._bound import BoundCore
from pgstate._calls import quarantine as calls
from pgstate._json import decode_told
from pgstate.types import OpenTransaction, Quarantined, Row, Seconds

_LOOK = 0.1
# keys in a transaction: rolling them back takes half a second
_PART = 5_000
# seconds for looking through what everybody has written since then, or in threads
_LOOKING = 600.0
# what the suspension alone has done by the time that the rest is
_BEGUN = ("suspend", "release")
_DONE = {"to do": "ok"}


class Quarantine(Area):
    """suspend_agent, resume_agent, quarantine."""

    async def suspend_agent(self, agent: str) -> list[OpenTransaction]:
        """Stops an agent: nobody acts as it, by its login, a gateway or a ticket, whatever it is granted meanwhile,
        until `resume_agent`. Its claims are given back, and its watches get nothing more. Returns the transactions that
        it has under way, or a gateway of its has, or the login that installed, which may still commit. Raises
        InvalidArgument (no such agent, the administrator, the caller itself), AccessDenied (needs admin on everything).
        """
        # a transaction of the caller's is seen by nobody before its end
        return await (self._suspend if isinstance(self._core, BoundCore) else self._under_way)(agent)

    async def resume_agent(self, agent: str) -> None:
        """Lets a suspended agent act again, with the grants that it has by now. What `quarantine` did stays. Raises
        InvalidArgument, AccessDenied (needs admin on everything)."""
        with self._to(f"resume {agent}", "admin on everything"):
            await self._core.call(lambda c, left: calls.resume_agent(c, agent, timeout=left), self._timeout)

    async def quarantine(
        self,
        agent: str,
        since: str | datetime,
        *,
        rollback: bool = False,
        force: bool = False,
        dry_run: bool = False,
        wait: Seconds = 10,
    ) -> list[Quarantined]:
        """Answers to an agent that has been taken over `since` a time or a cursor, and returns what was done.

        It is suspended, as by `suspend_agent`, at once; what it has under way is waited for, up to `wait` seconds. Then
        what it wrote since, and is still there of that, becomes trusted as external, so that nobody gets it who asks
        for a `min_trust`; with `rollback` it is undone, as by `rollback(writer=agent)`, and entries that others wrote
        too come back as conflict and are only not trusted, unless `force`. That is done for some thousand keys at a
        time, each all or nothing: a failure says how far it came. What is left to you is told: versions of others that
        name its writes as their sources, or were moved by completing, threads and runs in which it recorded, forks
        with checkpoints of its, threads with writes of tasks (`put_writes`) of its, and transactions that are still
        open: end them, and call again, which does the rest. With `dry_run` nothing is done.

        Raises InvalidArgument, NotRecorded (nothing was recorded by that time), CursorInvalid, CursorExpired,
        AccessDenied (needs admin on everything).
        """
        version, cursor, at = named(since)
        if version is not None:
            raise errors.InvalidArgument("since a time or a cursor, not a version")
        patience = seconds(wait).total_seconds()
        if patience < 0:
            raise errors.InvalidArgument("wait is a time of 0 or more")

        async def part(after: str | None, limit: int, only_shown: bool = dry_run) -> list[Quarantined]:
            with self._to(f"quarantine {agent}", "admin on everything"):
                rows = await self._core.call(
                    lambda c, left: calls.quarantine(
                        c, agent, at, cursor, rollback, force, only_shown, after, limit, timeout=left
                    ),
                    max(self._timeout, _LOOKING) if limit else self._timeout,
                )
            return [_quarantined(row) for row in rows]

        # asked first: what is wrong with the question must not come out when half of it is done
        try:
            shown = await part(None, 0, True)
        except errors.NotRecorded as error:
            raise errors.NotRecorded(
                f"{error} Nothing was done, {agent} acts on: suspend it now (suspend_agent), then ask with that moment."
            ) from error
        # a transaction of the caller's is seen by nobody before its end: there is nothing to wait for
        alone = not dry_run and not isinstance(self._core, BoundCore)
        # what it does in this moment ends by itself
        still = await self._let_end(agent, patience) if alone else {_open(row) for row in shown if row.action == "open"}
        begun = {(row.action, row.key): row for row in shown if row.action in _BEGUN}
        if alone:
            begun = {name: replace(row, status=_DONE.get(row.status, row.status)) for name, row in begun.items()}
        done: list[Quarantined] = []
        opened: dict[OpenTransaction | str, Quarantined] = {}
        after: str | None = None
        while True:
            try:
                rows = await part(after, _PART)
            except errors.PgStateError as error:
                if alone:
                    upto = f", and what it wrote is seen to up to {after}" if after else ""
                    error.add_note(f"{agent} is suspended{upto}: call again, which does the rest.")
                raise
            after = None
            for row in rows:
                if row.action == "more":
                    after = row.key
                elif row.action in _BEGUN:
                    # suspended by now, and what was released is not told again; what could not be is
                    if row.status == "locked" or not alone:
                        begun[row.action, row.key] = row
                elif row.action == "again":
                    opened[row.action] = row
                elif row.action == "open":
                    one = _open(row)
                    # what has begun since is of a gateway or of who installed, for others
                    if one in still:
                        opened[one] = row
                else:
                    done.append(row)
            if after is None:
                return [*begun.values(), *done, *opened.values()]

    async def _let_end(self, agent: str, wait: float) -> set[OpenTransaction]:
        """Suspends it, and waits for what it has under way; returns what is left of that."""
        still = set(await self._under_way(agent))
        for _ in range(int(wait / _LOOK)):
            if not still:
                break
            await asyncio.sleep(_LOOK)
            still &= set(await self._suspend(agent))
        return still

    async def _under_way(self, agent: str) -> list[OpenTransaction]:
        """Suspends it in a transaction of its own; returns what it has under way then."""
        # only from the commit on nobody begins anything as the agent, so this looks again; and once more, since what is
        # over at once, as what clients of who installed do all the time, need not be told
        await self._suspend(agent)
        if not (seen := await self._suspend(agent)):
            return []
        still = await self._suspend(agent)
        return [one for one in seen if one in still]

    async def _suspend(self, agent: str) -> list[OpenTransaction]:
        with self._to(f"suspend {agent}", "admin on everything"):
            rows = await self._core.call(lambda c, left: calls.suspend_agent(c, agent, timeout=left), self._timeout)
        return [OpenTransaction(**row) for row in rows]


def _open(row: Quarantined) -> OpenTransaction:
    return OpenTransaction(**{"pid": None, "prepared": None, **(row.detail or {})})


def _quarantined(row: Row) -> Quarantined:
    told: Sequence[str] = ("action", "key", "status", "version", "from_version", "to_version")
    return Quarantined(
        **{name: row[name] for name in told},
        old=decode_told(row["old"]),
        new=decode_told(row["new"]),
        detail=decode_told(row["detail"]),
    )
