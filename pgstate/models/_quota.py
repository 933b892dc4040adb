"""Tables of what agents may keep, and have used."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, PrimaryKeyConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from pgstate.models._access import AgentRow
from pgstate.models._base import BigInt, Model, Xid8
from pgstate.models._runs import RunRow
from pgstate.models._threads import ThreadRow


class QuotaRow(Model):
    """Table `quota`: what an agent may keep, and how often it may write."""

    __tablename__ = "quota"
    __table_args__ = (
        PrimaryKeyConstraint("agent_id", name="quota_pkey"),
        ForeignKeyConstraint(["agent_id"], [AgentRow.id], name="quota_agent_fkey", ondelete="cascade"),
        CheckConstraint("num_nonnulls(entries, bytes, writes_per_minute) > 0", name="quota_sets_something"),
        CheckConstraint("entries >= 0 and bytes >= 0 and writes_per_minute >= 0", name="quota_range"),
    )

    agent_id: Mapped[int]
    entries: Mapped[BigInt | None]
    bytes: Mapped[BigInt | None]
    writes_per_minute: Mapped[int | None]
    set_by: Mapped[str]
    set_at: Mapped[datetime]


class UsageRow(Model):
    """Table `usage`: what agents with a quota have used, in parts that add up."""

    __tablename__ = "usage"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="usage_pkey"),
        Index("usage_agent_idx", "agent_id"),
        {"postgresql_with": {"fillfactor": 50}},
    )

    id: Mapped[BigInt] = mapped_column(server_default=text("nextval('pgstate.usage_id_seq')"))
    agent_id: Mapped[int]
    entries: Mapped[BigInt] = mapped_column(server_default=text("0"))
    bytes: Mapped[BigInt] = mapped_column(server_default=text("0"))
    minute: Mapped[datetime] = mapped_column(server_default=text("'-infinity'"))
    writes: Mapped[int] = mapped_column(server_default=text("0"))
    xid: Mapped[int | None] = mapped_column(Xid8)
    seq: Mapped[BigInt | None]


class UsageThreadRow(Model):
    """Table `usage_thread`: threads that hold something of an agent with a quota."""

    __tablename__ = "usage_thread"
    __table_args__ = (
        PrimaryKeyConstraint("thread_id", "agent_id", name="usage_thread_pkey"),
        ForeignKeyConstraint(["thread_id"], [ThreadRow.id], name="usage_thread_thread_fkey", ondelete="cascade"),
        Index("usage_thread_agent_idx", "agent_id"),
    )

    agent_id: Mapped[int]
    thread_id: Mapped[BigInt]


class UsageRunRow(Model):
    """Table `usage_run`: runs that hold something of an agent with a quota."""

    __tablename__ = "usage_run"
    __table_args__ = (
        PrimaryKeyConstraint("run_id", "agent_id", name="usage_run_pkey"),
        ForeignKeyConstraint(["run_id"], [RunRow.id], name="usage_run_run_fkey", ondelete="cascade"),
        Index("usage_run_agent_idx", "agent_id"),
    )

    agent_id: Mapped[int]
    run_id: Mapped[BigInt]
