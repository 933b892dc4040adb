"""Tables of the rules for subtrees, and of retention."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import CheckConstraint, PrimaryKeyConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from pgstate.models._base import BigInt, Json, MaybeTrust, Model, Name, Now, Xid8


class PolicyRow(Model):
    """Table `policy`: rules for keys and subtrees."""

    __tablename__ = "policy"
    __table_args__ = (
        PrimaryKeyConstraint("subtree", name="policy_pkey"),
        CheckConstraint(
            "num_nonnulls(reducer, ttl, keep_versions, keep_age, keep_everything, value_limit, schema, max_attempts, "
            "backoff, backoff_limit, dead_letter, claimed_writes, guard, trust) > 0",
            name="policy_sets_something",
        ),
        CheckConstraint("num_nonnulls(keep_versions, keep_age, keep_everything) <= 1", name="policy_keeps_one_way"),
        CheckConstraint("keep_everything", name="policy_keep_everything_true"),
        CheckConstraint("keep_versions > 0", name="policy_keep_versions_positive"),
        CheckConstraint("value_limit > 0", name="policy_value_limit_positive"),
        CheckConstraint("max_attempts > 0", name="policy_max_attempts_positive"),
        CheckConstraint("guard in ('refuse', 'redact', 'off')", name="policy_guard_known"),
    )

    subtree: Mapped[Name]
    nearness: Mapped[int]
    reducer: Mapped[Name | None]
    ttl: Mapped[timedelta | None]
    keep_versions: Mapped[int | None]
    keep_age: Mapped[timedelta | None]
    keep_everything: Mapped[bool | None]
    value_limit: Mapped[int | None]
    schema: Mapped[Json]
    set_by: Mapped[str]
    set_at: Mapped[Now]
    max_attempts: Mapped[int | None]
    backoff: Mapped[timedelta | None]
    backoff_limit: Mapped[timedelta | None]
    dead_letter: Mapped[Name | None]
    claimed_writes: Mapped[bool | None]
    guard: Mapped[str | None]
    trust: Mapped[MaybeTrust]


class ReducerRow(Model):
    """Table `reducer`: functions of the application's that policies may name."""

    __tablename__ = "reducer"
    __table_args__ = (
        PrimaryKeyConstraint("name", name="reducer_pkey"),
        CheckConstraint("name ~ '^[a-z][a-z0-9_]{0,62}$'", name="reducer_name_form"),
    )

    name: Mapped[Name]
    function_schema: Mapped[Name]
    function_name: Mapped[Name]
    digest: Mapped[bytes]
    registered_by: Mapped[str]
    registered_at: Mapped[Now]


class MarkRow(Model):
    """Table `mark`: which transactions had ended when."""

    __tablename__ = "mark"
    __table_args__ = (PrimaryKeyConstraint("at", name="mark_pkey"),)

    at: Mapped[datetime]
    epoch: Mapped[int]
    ended_below: Mapped[int] = mapped_column(Xid8)


class SweepRow(Model):
    """Table `sweep`: how far retention has come."""

    __tablename__ = "sweep"
    __table_args__ = (PrimaryKeyConstraint("delay", name="sweep_pkey"),)

    delay: Mapped[timedelta]
    epoch: Mapped[int] = mapped_column(server_default=text("0"))
    xid: Mapped[int] = mapped_column(Xid8, server_default=text("'0'"))
    seq: Mapped[BigInt] = mapped_column(server_default=text("0"))


class ReviewRow(Model):
    """Table `review`: where the history to be kept has changed, and how far retention has gone through that."""

    __tablename__ = "review"
    __table_args__ = (PrimaryKeyConstraint("subtree", name="review_pkey"),)

    subtree: Mapped[Name]
    after: Mapped[Name] = mapped_column(server_default=text("''"))
    asked_at: Mapped[Now]


class ThinningRow(Model):
    """Table `thinning`: how points of the feed become fewer with their age."""

    __tablename__ = "thinning"
    __table_args__ = (
        PrimaryKeyConstraint("older", name="thinning_pkey"),
        CheckConstraint("every between interval '1 second' and interval '1 day'", name="thinning_every_range"),
    )

    older: Mapped[timedelta]
    every: Mapped[timedelta]
    upto: Mapped[datetime | None]
