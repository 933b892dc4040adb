"""What the client returns about access: groups, quotas, what an agent may, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


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


@dataclass(frozen=True, slots=True)
class Quota:
    """What an agent may keep, and how often it may write (None: no limit), and what it has used at most."""

    agent: str
    entries: int | None
    bytes: int | None
    writes_per_minute: int | None
    used_entries: int
    used_bytes: int
    used_writes: int
    set_by: str
    set_at: datetime


@dataclass(frozen=True, slots=True)
class HardenStep:
    """A step of `State.harden`: `state` is there, to do or done; or a note about what it cannot do."""

    action: str
    agent: str | None
    login: str | None
    state: str | None
    note: str | None


@dataclass(frozen=True, slots=True)
class CredentialGrant:
    """A credential that an agent may have resolved, by the name in its handle, and for what; * is any."""

    agent: str
    name: str
    purpose: str
    granted_by: str
    granted_at: datetime
