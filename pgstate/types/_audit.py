"""What the client returns about access: the audit trail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """An entry of the audit trail. `event` is what was done (grant, revoke, create_agent, set_policy, denied …) by
    `agent` through the login `via`; `key` the key or subtree that it is about, None for the installation as a whole.
    `detail` says more; of a denial it has the words of who was denied, which are not to be trusted."""

    id: int
    at: datetime
    event: str
    agent: str | None
    via: str
    key: str | None
    detail: Any


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """A chain of the audit trail, computed anew. `fault` is what is wrong if it is not `sound`. Note `head` outside of
    the database: it must still be in the chain later. `waiting` entries have no link yet."""

    subtree: str
    sound: bool
    links: int
    head: str
    fault: str | None
    active: bool
    waiting: int
