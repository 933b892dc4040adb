"""Tables of what keys hold and held, of the feed, and of who writes it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, PrimaryKeyConstraint, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, OID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from pgstate.models._base import (
    BigInt,
    EntryKind,
    False_,
    Json,
    KeyMultirange,
    Model,
    Name,
    Now,
    PgSnapshot,
    Reach,
    Trust,
    VersionOp,
    Xid,
    Xid8,
)
from pgstate.models._patterns import Keyed


class InstallRow(Model):
    """Table `install`: one row, the installation's identity and limits."""

    __tablename__ = "install"
    __table_args__ = (
        PrimaryKeyConstraint("singleton", name="install_pkey"),
        CheckConstraint("singleton", name="install_one_row"),
        CheckConstraint("value_limit between 1024 and 268435456", name="install_value_limit_range"),
        CheckConstraint(
            "cursor_window between interval '1 minute' and interval '3650 days'", name="install_cursor_window_range"
        ),
        CheckConstraint("audit_keep >= interval '1 day'", name="install_audit_keep_range"),
    )

    singleton: Mapped[bool] = mapped_column(server_default=text("true"))
    identity: Mapped[str]
    epoch: Mapped[int] = mapped_column(server_default=text("1"))
    value_limit: Mapped[int] = mapped_column(server_default=text("1048576"))
    installed_at: Mapped[Now]
    policies: Mapped[False_]
    cursor_window: Mapped[timedelta] = mapped_column(server_default=text("'1 hour'"))
    horizon: Mapped[int | None] = mapped_column(Xid8)
    horizon_epoch: Mapped[int | None]
    table_oid: Mapped[int | None] = mapped_column(OID)
    audit_keep: Mapped[timedelta | None]
    timeline: Mapped[str | None]
    given: Mapped[Reach]


class EntryRow(Keyed, Model):
    """Table `entry`: what every key holds, tombstones included. `Entry` leaves those and what has expired out."""

    __tablename__ = "entry"
    __table_args__ = (
        PrimaryKeyConstraint("key", name="entry_pkey"),
        Index("entry_task_idx", "parent", text("priority desc"), "created_at", "key", postgresql_where=text("live")),
        Index("entry_not_before_idx", "parent", "not_before", postgresql_where=text("live and not_before is not null")),
        Index("entry_expires_idx", "expires_at", postgresql_where=text("live and expires_at is not null")),
        {"postgresql_with": {"fillfactor": 75}},
    )

    key: Mapped[Name]
    parent: Mapped[Name]
    kind: Mapped[EntryKind] = mapped_column(server_default=text("'value'"))
    version: Mapped[BigInt]
    live: Mapped[bool]
    value: Mapped[Json]
    writer: Mapped[str]
    via: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    not_before: Mapped[datetime | None]
    full_version: Mapped[int | None] = mapped_column(BigInteger)
    tail_count: Mapped[int | None]
    tail_bytes: Mapped[int | None]
    full_bytes: Mapped[int | None]
    full_type: Mapped[str | None]
    trust: Mapped[Trust]

    versions: Mapped[list[VersionRow]] = relationship(
        "VersionRow",
        primaryjoin="EntryRow.key == foreign(VersionRow.key)",
        order_by="VersionRow.version",
        viewonly=True,
    )
    claim: Mapped[ClaimRow | None] = relationship(
        "ClaimRow", primaryjoin="EntryRow.key == foreign(ClaimRow.key)", uselist=False, viewonly=True
    )


class VersionRow(Keyed, Model):
    """Table `version`: history and change feed. No constraint names its key, so that it can be partitioned by time."""

    __tablename__ = "version"
    __table_args__ = (
        Index("version_key_idx", "key", "version", unique=True),
        Index("version_feed_idx", "epoch", "xid", "seq"),
        Index("version_seq_idx", "seq"),
    )

    key: Mapped[Name]
    version: Mapped[BigInt]
    epoch: Mapped[int]
    xid: Mapped[Xid]
    seq: Mapped[BigInt] = mapped_column(server_default=text("nextval('pgstate.version_seq')"))
    op: Mapped[VersionOp]
    created: Mapped[False_]
    value: Mapped[Json]
    writer: Mapped[str]
    via: Mapped[str]
    at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    meta: Mapped[Json]
    reducer: Mapped[str | None]
    trust: Mapped[Trust]

    __mapper_args__ = {"primary_key": ["key", "version"]}  # noqa: RUF012 (SQLAlchemy's own declaration of it)


class ClaimRow(Keyed, Model):
    """Table `claim`: every claim there was of a key that still exists. `Claim` has those that hold now."""

    __tablename__ = "claim"
    __table_args__ = (PrimaryKeyConstraint("key", name="claim_pkey"), {"postgresql_with": {"fillfactor": 50}})

    key: Mapped[Name]
    token: Mapped[BigInt]
    holder: Mapped[str | None]
    holder_id: Mapped[int | None]
    lease_until: Mapped[datetime]
    attempts: Mapped[int]
    claimed_at: Mapped[datetime]
    retry_at: Mapped[datetime | None]
    error: Mapped[str | None]
    released: Mapped[int] = mapped_column(server_default=text("0"))


class ClaimLogRow(Keyed, Model):
    """Table `claim_log`: claims that were ended by force."""

    __tablename__ = "claim_log"
    __table_args__ = (PrimaryKeyConstraint("key", "at", name="claim_log_pkey"),)

    key: Mapped[Name]
    at: Mapped[datetime]
    token: Mapped[BigInt]
    holder: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    attempts: Mapped[int]
    released_by: Mapped[str]
    via: Mapped[str]


class LaneRow(Model):
    """Table `lane`: the last outcome of each lane of a client, for sending a statement again."""

    __tablename__ = "lane"
    __table_args__ = (PrimaryKeyConstraint("lane", name="lane_pkey"), {"postgresql_with": {"fillfactor": 25}})

    lane: Mapped[UUID]
    agent_id: Mapped[int]
    turn: Mapped[BigInt]
    outcome: Mapped[Json]
    at: Mapped[Now]
    channels: Mapped[list[str] | None] = mapped_column(ARRAY(Text))


class OpRow(Model):
    """Table `op`: outcomes by the callers' idempotency keys."""

    __tablename__ = "op"
    __table_args__ = (
        PrimaryKeyConstraint("agent_id", "op_id", name="op_pkey"),
        CheckConstraint("pg_catalog.octet_length(op_id) between 1 and 256", name="op_id_length"),
        Index("op_at_idx", "at"),
    )

    agent_id: Mapped[int]
    op_id: Mapped[Name]
    request_hash: Mapped[bytes]
    outcome: Mapped[Json]
    at: Mapped[Now]


class WatcherRow(Model):
    """Table `watcher`: which channels to notify of changes in which ranges of keys."""

    __tablename__ = "watcher"
    __table_args__ = (PrimaryKeyConstraint("channel", name="watcher_pkey"), {"prefixes": ["unlogged"]})

    channel: Mapped[Name]
    login: Mapped[str]
    agent_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    ranges: Mapped[Any] = mapped_column(KeyMultirange, nullable=False)
    expires_at: Mapped[datetime]


class FeedPointRow(Model):
    """Table `feed_point`: points of the change feed by time, which reads as of a past time go by."""

    __tablename__ = "feed_point"
    __table_args__ = (PrimaryKeyConstraint("at", name="feed_point_pkey"),)

    at: Mapped[datetime]
    epoch: Mapped[int]
    seen: Mapped[str] = mapped_column(PgSnapshot, nullable=False)
