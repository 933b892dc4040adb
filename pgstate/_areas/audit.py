"""Who was given what, and who was denied what."""

from __future__ import annotations

from collections.abc import Sequence

from pgstate._areas._base import Area, seconds
from pgstate._calls import audit
from pgstate._calls._run import Connection
from pgstate._json import decode
from pgstate.types import AuditCheck, AuditRecord, Seconds


class Audit(Area):
    """audit, verify_audit, set_audit_chain, set_audit."""

    async def audit(
        self,
        pattern: str = "",
        *,
        events: Sequence[str] | None = None,
        limit: int | None = 100,
        before: int | None = None,
    ) -> list[AuditRecord]:
        """The audit trail, newest first: grants, revocations, administration, resolved secrets and denials that concern
        what matches and what the agent administers; what concerns the installation is for those who administer
        everything. `events` are the kinds wanted, `before` goes on behind a page, by its last id.

        A denial that is raised undoes its transaction, and so cannot record itself: this client tells of it afterwards,
        ten at once and then one a second. Of other clients (psql) only denied writes are there that came back as
        outcomes. Raises InvalidPattern, InvalidArgument, AccessDenied.
        """
        full = self._pattern(pattern)
        kinds = None if events is None else list(events)
        with self._to(f"read the audit trail of {full or 'everything'}", "admin", full):
            rows = await self._core.call(
                lambda c, left: audit.audit(c, full, kinds, limit, before, self._agent, timeout=left), self._timeout
            )
        return [
            AuditRecord(**{**row, "detail": None if row["detail"] is None else decode(row["detail"])}) for row in rows
        ]

    async def verify_audit(self, subtree: str, noted: str | None = None) -> AuditCheck:
        """Computes the chain of a subtree (named in full) anew from the entries of the audit trail. `noted` is the
        `head` of an earlier check, which must still be in it: who can rewrite an entry can rewrite the chain after it.
        Raises InvalidArgument (there is no such chain), AccessDenied (needs admin on all of it)."""
        with self._to(f"verify the audit trail of {subtree}", "admin", subtree):
            row = await self._core.call(
                lambda c, left: audit.verify_audit(c, subtree, noted, self._agent, timeout=left), self._timeout
            )
        return AuditCheck(**row)

    async def set_audit_chain(self, subtree: str, active: bool = True) -> None:
        """From now on entries of the audit trail that concern a key, a subtree or everything (**) are linked by hashes,
        within seconds while a client is connected; what is changed before is not found. With `active` false no new ones
        are. Raises InvalidPattern, InvalidArgument, AccessDenied (needs admin on all of it), QuotaExceeded (100 chains
        of one who does not administer everything)."""
        with self._to(f"set the chain of {subtree}", "admin", subtree):
            await self._core.call(
                lambda c, left: audit.set_audit_chain(c, subtree, active, self._agent, timeout=left), self._timeout
            )

    async def set_audit(self, *, keep: Seconds | None) -> None:
        """How long entries of the audit trail are kept (seconds or timedelta, a day at least), None for ever. Nobody
        can remove younger ones. Raises InvalidArgument, AccessDenied (needs admin on everything)."""
        span = None if keep is None else seconds(keep)

        async def run(connection: Connection, left: float) -> None:
            await audit.set_audit(connection, span, self._agent, timeout=left)

        with self._to("say how long the audit trail is kept", "admin on everything"):
            await self._core.call(run, self._timeout)
