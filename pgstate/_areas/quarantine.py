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
# what the suspension alone has done by the time that the rest is
_BEGUN = ("suspend", "release")
_DONE = {"to do": "ok"}


class Quarantine(Area):
    """suspend_agent, resume_agent, quarantine."""

    async def suspend_agent(self, agent: str) -> list[OpenTransaction]:
        """Stops an agent: nobody acts as it, by its login, a gateway or a ticket, whatever it is granted meanwhile,
        until `resume_agent`. Its claims are given back, and its watches get nothing more. Returns the transactions that
        it has under way, or a gateway of its has, which may still commit. Raises InvalidArgument (no such agent, the
        administrator, the caller itself), AccessDenied (needs admin on everything)."""
        with self._to(f"suspend {agent}", "admin on everything"):
            rows = await self._core.call(lambda c, left: calls.suspend_agent(c, agent, timeout=left), self._timeout)
        return [OpenTransaction(**row) for row in rows]

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
        for a `min_trust`; with `rollback` it is undone, as by `rollback(writer=agent)`: all or nothing, and entries
        that others wrote too come back as conflict and are only not trusted, unless `force`. What is left to you is
        told: versions of others that name its writes as their sources, or were moved by completing, threads and runs
        in which it recorded, forks with checkpoints of its, and transactions that are still open: end them, and call
        again, which does the rest. Writes of tasks without a checkpoint (`put_writes`) do not say whose they are, and
        are not told. With `dry_run` nothing is done.

        Raises InvalidArgument, NotRecorded (nothing was recorded by that time), CursorInvalid, CursorExpired,
        AccessDenied (needs admin on everything).
        """
        version, cursor, at = named(since)
        if version is not None:
            raise errors.InvalidArgument("since a time or a cursor, not a version")
        patience = seconds(wait).total_seconds()
        if patience < 0:
            raise errors.InvalidArgument("wait is a time of 0 or more")
        # shown first: what is wrong with the question must not come out when half of it is done
        try:
            plan = await self._quarantine(agent, at, cursor, rollback, force, dry_run=True)
        except errors.NotRecorded as error:
            raise errors.NotRecorded(
                f"{error} Nothing was done, {agent} acts on: suspend it now (suspend_agent), then ask with that moment."
            ) from error
        if dry_run:
            return plan
        begun = [replace(row, status=_DONE.get(row.status, row.status)) for row in plan if row.action in _BEGUN]
        # a transaction of the caller's is seen by nobody before its end: there is nothing to wait for
        if not isinstance(self._core, BoundCore):
            await self._let_end(agent, patience)
        done = await self._quarantine(agent, at, cursor, rollback, force, dry_run=False)
        # suspended by now, and what was released is not told again; what could not be is
        told = {(row.action, row.key): row for row in begun}
        told.update(((row.action, row.key), row) for row in done if row.status == "locked" and row.action in _BEGUN)
        known = set(told)
        return [*told.values(), *(row for row in done if (row.action, row.key) not in known)]

    async def _quarantine(
        self, agent: str, at: datetime | None, cursor: str | None, rollback: bool, force: bool, *, dry_run: bool
    ) -> list[Quarantined]:
        with self._to(f"quarantine {agent}", "admin on everything"):
            rows = await self._core.call(
                lambda c, left: calls.quarantine(c, agent, at, cursor, rollback, force, dry_run, timeout=left),
                self._timeout,
            )
        return [_quarantined(row) for row in rows]

    async def _let_end(self, agent: str, wait: float) -> None:
        # in a transaction of its own: only from its commit on nobody begins anything as the agent
        for _ in range(1 + int(wait / _LOOK)):
            if not await self.suspend_agent(agent):
                break
            await asyncio.sleep(_LOOK)


def _quarantined(row: Row) -> Quarantined:
    told: Sequence[str] = ("action", "key", "status", "version", "from_version", "to_version")
    return Quarantined(
        **{name: row[name] for name in told},
        old=decode_told(row["old"]),
        new=decode_told(row["new"]),
        detail=decode_told(row["detail"]),
    )
