"""What the client returns about access: groups, what an agent may and why, the audit trail."""

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


@dataclass(frozen=True, slots=True)
class Group:
    """A group of agents."""

    name: str
    members: list[str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Effective:
    """A grant, or a denial, as it holds for one agent. `state` is in force, denied, partly denied or ended; `through`
    the group that has it, None for the agent's own."""

    right: str
    subtree: str
    deny: bool
    state: str
    through: str | None
    until: datetime | None
    granted_by: str
    granted_at: datetime


@dataclass(frozen=True, slots=True)
class AccessReason:
    """A grant or denial that covers a key; all are None where there is none. `allowed` is the answer, `decides` marks
    what gives it."""

    allowed: bool
    decides: bool
    subtree: str | None
    deny: bool | None
    through: str | None
    until: datetime | None
    granted_by: str | None
    granted_at: datetime | None
