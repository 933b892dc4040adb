"""Claims: exclusive ownership of entries until a lease ends, with a fencing token."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from pgstate import errors
from pgstate._areas._base import Area, seconds
from pgstate._areas.values import Values
from pgstate._calls import claims
from pgstate._hub import Tap
from pgstate._json import decode
from pgstate.types import UNSET, Claim, HeldClaim, Row, Seconds

# Without a wake-up a waiting claim looks again after this; wake-ups and ends of leases make it look at once.
_LOOK_AGAIN = 5.0
_BOTH = "read and write"


class Claims(Values, Area):
    """claim_next, claim, renew, release, complete, claims."""

    async def claim_next(self, pattern: str, lease: Seconds = 30.0, *, wait: Seconds | None = None) -> Claim | None:
        """Claims the entry that waits with the highest priority, then longest, among those that match.

        Returns None when nothing is claimable; with `wait`, only after that many seconds in which nothing became so.
        The wait polls nothing: a write, a release, or the end of another's lease or of a not_before ends it. `lease` is
        in seconds. Raises InvalidPattern, InvalidArgument, AccessDenied (needs read and write).
        """
        full = self._pattern(pattern)
        span = seconds(lease)
        with self._to(f"claim any of {full or 'everything'}", _BOTH):
            if wait is None:
                return self._claimed(await self._claim_next(full, span))
            return await self._wait_for(full, span, seconds(wait).total_seconds())

    async def _wait_for(self, full: str, span: timedelta, wait: float) -> Claim | None:
        core = self._core.following("claim_next(wait=…)")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        row = await self._claim_next(full, span)
        if row["status"] == "ok":
            return self._claimed(row)
        stirred = asyncio.Event()
        tap = Tap(self._name, [full], lambda _: stirred.set(), stirred.set)
        broken: list[Exception] = []

        def end(error: Exception) -> None:
            broken.append(error)
            stirred.set()

        tap.broken = end
        # not waited for: as long as the feed cannot be followed, looking again each second has to do
        joining = asyncio.ensure_future(core.hub.attach(tap))
        joining.add_done_callback(lambda _: stirred.set())
        try:
            while True:
                stirred.clear()
                row = await self._claim_next(full, span)
                left = deadline - loop.time()
                if row["status"] == "ok" or left <= 0:
                    return self._claimed(row)
                if joining.done():
                    joining.result()
                if broken:
                    raise broken[0]
                due: timedelta | None = row["retry_in"]
                nap = min(left, _LOOK_AGAIN if joining.done() else 1.0)
                if due is not None:
                    nap = min(nap, max(due.total_seconds(), 0.0) + 0.001)
                try:
                    async with asyncio.timeout(nap):
                        await stirred.wait()
                except TimeoutError:
                    continue
        finally:
            joining.cancel()
            await asyncio.gather(joining, return_exceptions=True)
            core.hub.detach(tap)

    async def _claim_next(self, pattern: str, lease: timedelta) -> Row:
        return await self._core.call_once(
            lambda c, lane, left: claims.claim_next(c, pattern, lease, lane.id, lane.turn, self._agent, timeout=left),
            self._agent,
            self._timeout,
        )

    async def claim(self, key: str, lease: Seconds = 30.0) -> Claim | None:
        """Claims one entry; None if it does not exist. `lease` is in seconds.

        Raises ClaimHeld if it is claimed already, by this agent too; InvalidKey, InvalidArgument, AccessDenied.
        """
        full, span = self._key(key), seconds(lease)
        with self._to(f"claim {full}", _BOTH):
            row = await self._core.call_once(
                lambda c, lane, left: claims.claim(c, full, span, lane.id, lane.turn, self._agent, timeout=left),
                self._agent,
                self._timeout,
            )
        if row["status"] == "held":
            raise errors.ClaimHeld(f"{key} is claimed already: claims() tells by whom and until when", key)
        return self._claimed(row)

    async def renew(self, key: str, token: int, lease: Seconds = 30.0) -> Claim:
        """Lets the lease end `lease` seconds from now. Raises StaleToken once it has ended or somebody else has it."""
        full, span = self._key(key), seconds(lease)
        with self._to(f"renew a claim of {full}", _BOTH):
            row = await self._core.call(
                lambda c, left: claims.renew(c, full, token, span, self._agent, timeout=left), self._timeout
            )
        if row["status"] != "ok":
            raise self._conflict({"status": "stale"}, full)
        return Claim(key, None, 0, token, row["lease_until"], row["attempts"])

    async def release(self, key: str, token: int) -> bool:
        """Gives a claim back: others may claim the entry at once. False if the claim was lost already."""
        full = self._key(key)
        with self._to(f"release {full}", _BOTH):
            row = await self._core.call(
                lambda c, left: claims.release(c, full, token, self._agent, timeout=left), self._timeout
            )
        return bool(row["status"] == "ok")

    async def complete(self, key: str, token: int, *, op_id: str | None = None) -> int:
        """Finishes claimed work: removes the entry, and returns the version of that. Raises StaleToken."""
        row = await self._write("complete", key, None, None, UNSET, None, token, None, None, None, None, op_id)
        if row["status"] != "ok":
            raise self._conflict({"status": "stale"}, self._prefix + key)
        return int(row["version"])

    async def claims(self, pattern: str = "") -> list[HeldClaim]:
        """Who holds what now, in key order, of the entries that match and that the agent may read; an empty pattern
        means everything. Raises InvalidPattern, AccessDenied when the pattern reaches nothing that it may read."""
        full = self._pattern(pattern)
        with self._to(f"list claims of {full or 'everything'}", "read"):
            rows = await self._core.call(
                lambda c, left: claims.list_claims(c, full, self._agent, timeout=left), self._timeout
            )
        return [HeldClaim(**{**row, "key": row["key"][self._skip :]}) for row in rows]

    def _claimed(self, row: Row) -> Claim | None:
        if row["status"] != "ok":
            return None
        key: str = row["key"]
        text = row["value"]
        value = None if text is None else decode(text)
        return Claim(key[self._skip :], value, row["version"], row["token"], row["lease_until"], row["attempts"])
