"""Going back to a past state."""

from __future__ import annotations

import builtins

from pgstate import errors
from pgstate._areas._base import Area, named
from pgstate._calls import history
from pgstate._calls._run import outcome_error
from pgstate._json import decode_told
from pgstate.types import AsOf, RolledBack


class History(Area):
    """rollback."""

    async def rollback(
        self,
        pattern: str,
        to: AsOf,
        *,
        writer: str | None = None,
        force: bool = False,
        dry_run: bool = False,
        op_id: str | None = None,
    ) -> builtins.list[RolledBack]:
        """Brings keys back to what they were, by new versions, all or nothing; returns what it did to each of them.

        `to` is a version (of one key), a cursor, or a time, as in `get(as_of=...)`. What was not there then is deleted.
        With `writer` only keys that this agent wrote since, and that nobody else did: the others come back with status
        conflict and stay as they are, unless `force`. `dry_run` does nothing and shows exactly what would change.
        Values whose time to live has ended do not come back (but do by their version), and priority and not_before
        stay as they are. Needs read and write.

        Raises ClaimHeld when one of the keys is claimed (nothing is done then), AccessDenied, InvalidArgument for a
        version that is not there or a time to come, NotRecorded for a time before anything was recorded, CursorInvalid,
        CursorExpired, InvalidKey, InvalidPattern, OpIdReused; and ValueTooLarge, SchemaViolation or SecretRefused for a
        value that a rule of today does not take, which a dry run shows as refused.
        """
        full = self._pattern(pattern)
        version, cursor, at = named(to)
        with self._to(f"roll back {full or 'everything'}", "read and write", full):
            if dry_run:
                rows = await self._core.call(
                    lambda c, left: history.plan_rollback(
                        c, full, version, cursor, at, writer, force, self._agent, timeout=left
                    ),
                    self._timeout,
                )
            else:
                rows = await self._core.call_once(
                    lambda c, lane, left: history.rollback(
                        c,
                        full,
                        version,
                        cursor,
                        at,
                        writer,
                        force,
                        op_id,
                        lane.id,
                        lane.turn,
                        self._agent,
                        timeout=left,
                    ),
                    self._agent,
                    self._timeout,
                )
        done = [row for row in rows if row["version"] is not None]
        self._core.stats.writes += len(done)
        if any(row["watched"] for row in done):
            self._core.wake([row["key"] for row in done], self._agent)
        for row in () if dry_run else rows:
            key = row["key"][self._skip :]
            if row["status"] == "denied":
                raise outcome_error("PS010", f"access denied: {key} may be read and not written; nothing was done")
            if row["status"] == "held":
                raise errors.ClaimHeld(f"{key} is claimed: nothing was done; wait, or leave it out", key)
        return [
            RolledBack(
                row["key"][self._skip :],
                row["status"],
                row["action"],
                row["version"],
                row["from_version"],
                row["to_version"],
                decode_told(row["old"]),
                decode_told(row["new"]),
                row["expires_at"],
            )
            for row in rows
        ]
