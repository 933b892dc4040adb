"""What the client returns about access: groups, quotas, what an agent may, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Group:
    """A group of agents."""

    name: str
    members: list[str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Effective:
    """A grant, or a denial, as it holds for one agent. `state` is in force, denied, partly denied, ended,
    or suspended with the agent; `through` the group that has it, None for the agent's own."""

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


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction that uses pgstate and is not over: of the session `pid` of a login, or `prepared` under a name.
    `xact` tells it from a later one of the session (`pg_locks.virtualtransaction`)."""

    pid: int | None
    login: str
    prepared: str | None
    xact: str | None = None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What a quarantine did, or found.

    `action` is suspend, release (of a claim), put or delete (of a rollback), or distrust; of these `status` is ok,
    there (was done before), to do (in a dry run), conflict (others wrote the key too), held or locked (a claim or a
    transaction of somebody is in the way), refused (what was there is not allowed by now, see `detail`), denied (not
    yours to read or write; of what may not even be read the action is undo), or skipped (the rollback did nothing
    because of those). Left to the caller are derived (a version of others that names its writes as sources), thread,
    run, open (a transaction under way, see `detail`), and again (in a transaction of the caller's: what the agent
    did meanwhile was not seen, call again after it). `from_version` and `old` are what was there, `to_version` and
    `new` what is brought back.
    """

    action: str
    key: str | None
    status: str
    version: int | None
    from_version: int | None
    to_version: int | None
    old: Any
    new: Any
    detail: dict[str, Any] | None
