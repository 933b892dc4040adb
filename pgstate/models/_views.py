"""What people meet: the views."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from pgstate.models._base import BigInt, Json, Model, Name, Xid8
from pgstate.models._patterns import Keyed


class Entry(Keyed, Model):
    """View `entries`: what every key holds now."""

    __tablename__ = "entries"
    __table_args__ = ({"info": {"view": True}},)

    key: Mapped[Name] = mapped_column(primary_key=True)
    value: Mapped[Json]
    version: Mapped[BigInt]
    kind: Mapped[str]
    writer: Mapped[str]
    via: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    priority: Mapped[int]
    not_before: Mapped[datetime | None]
    trust: Mapped[str]

    versions: Mapped[list[Version]] = relationship(
        "Version",
        primaryjoin="Entry.key == foreign(Version.key)",
        order_by="Version.version",
        viewonly=True,
    )
    """All there were of the key, oldest first."""
    claim: Mapped[Claim | None] = relationship(
        "Claim", primaryjoin="Entry.key == foreign(Claim.key)", uselist=False, viewonly=True
    )
    """Who holds it now, if anybody does."""


class Version(Keyed, Model):
    """View `versions`: every version of every key. `seq` orders the feed and is no cursor."""

    __tablename__ = "versions"
    __table_args__ = ({"info": {"view": True}},)

    key: Mapped[Name] = mapped_column(primary_key=True)
    version: Mapped[BigInt] = mapped_column(primary_key=True)
    op: Mapped[str]
    value: Mapped[Json]
    writer: Mapped[str]
    via: Mapped[str]
    at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    created: Mapped[bool]
    seq: Mapped[BigInt]
    trust: Mapped[str]

    entry: Mapped[Entry | None] = relationship("Entry", primaryjoin="foreign(Version.key) == Entry.key", viewonly=True)
    """What the key holds now."""


class Claim(Keyed, Model):
    """View `claims`: who holds what now, and until when."""

    __tablename__ = "claims"
    __table_args__ = ({"info": {"view": True}},)

    key: Mapped[Name] = mapped_column(primary_key=True)
    token: Mapped[BigInt]
    holder: Mapped[str | None]
    lease_until: Mapped[datetime]
    attempts: Mapped[int]
    claimed_at: Mapped[datetime]

    entry: Mapped[Entry | None] = relationship("Entry", primaryjoin="foreign(Claim.key) == Entry.key", viewonly=True)
    """What is held."""


class Task(Keyed, Model):
    """View `tasks`: entries as pieces of work, waiting, claimed, failed or finished."""

    __tablename__ = "tasks"
    __table_args__ = ({"info": {"view": True}},)

    key: Mapped[Name] = mapped_column(primary_key=True)
    state: Mapped[str]
    priority: Mapped[int]
    holder: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    lease_left: Mapped[timedelta | None]
    attempts: Mapped[int]
    error: Mapped[str | None]
    next_try: Mapped[datetime | None]
    version: Mapped[BigInt]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Activity(Keyed, Model):
    """View `activity`: what happened lately and by whom, newest first. Give a query a limit."""

    __tablename__ = "activity"
    __table_args__ = ({"info": {"view": True}},)

    at: Mapped[datetime]
    writer: Mapped[str]
    via: Mapped[str]
    op: Mapped[str]
    key: Mapped[Name] = mapped_column(primary_key=True)
    version: Mapped[BigInt] = mapped_column(primary_key=True)
    created: Mapped[bool]
    size: Mapped[int | None]
    expires_at: Mapped[datetime | None]
    xid: Mapped[int] = mapped_column(Xid8)
    seq: Mapped[BigInt]
    trust: Mapped[str]


class Agent(Model):
    """View `agents`: who acts. Without admin on everything, only the reader itself."""

    __tablename__ = "agents"
    __table_args__ = ({"info": {"view": True}},)

    name: Mapped[str] = mapped_column(primary_key=True)
    login: Mapped[str | None]
    gateways: Mapped[list[str]] = mapped_column(ARRAY(Text))
    root: Mapped[bool]
    created_at: Mapped[datetime]
    trust: Mapped[str]
    suspended_at: Mapped[datetime | None]

    grants: Mapped[list[Grant]] = relationship(
        "Grant", primaryjoin="Agent.name == foreign(Grant.agent)", order_by="Grant.subtree", viewonly=True
    )
    """Its rights."""


class Grant(Model):
    """View `grants`: rights of agents and groups on keys and subtrees, and denials. Without admin on everything, only
    the reader's own."""

    __tablename__ = "grants"
    __table_args__ = ({"info": {"view": True}},)

    agent: Mapped[str] = mapped_column(primary_key=True)
    subtree: Mapped[str] = mapped_column(primary_key=True)
    right: Mapped[str] = mapped_column(primary_key=True)
    granted_by: Mapped[str]
    granted_at: Mapped[datetime]
    deny: Mapped[bool] = mapped_column(primary_key=True)
    until: Mapped[datetime | None]


class Policy(Model):
    """View `policies`: rules that hold for keys which the reader may read; None where one does not set something."""

    __tablename__ = "policies"
    __table_args__ = ({"info": {"view": True}},)

    subtree: Mapped[str] = mapped_column(primary_key=True)
    reducer: Mapped[str | None]
    ttl: Mapped[timedelta | None]
    keep: Mapped[str | None]
    value_limit: Mapped[int | None]
    schema: Mapped[Json]
    set_by: Mapped[str]
    set_at: Mapped[datetime]
    max_attempts: Mapped[int | None]
    backoff: Mapped[timedelta | None]
    backoff_limit: Mapped[timedelta | None]
    dead_letter: Mapped[str | None]
    claimed_writes: Mapped[bool | None]
    guard: Mapped[str | None]
    trust: Mapped[str | None]
