"""Durable runs: the views, and the tables under them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, PrimaryKeyConstraint, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from pgstate.models._base import BigInt, Json, Model, Name, run_id_seq, signal_no_seq
from pgstate.models._patterns import Keyed


class Run(Keyed, Model):
    """View `runs`: durable executions."""

    __tablename__ = "runs"
    __table_args__ = ({"info": {"view": True}},)

    key: Mapped[Name] = mapped_column(primary_key=True)
    name: Mapped[Name | None]
    state: Mapped[str]
    step: Mapped[str | None]
    steps: Mapped[BigInt]
    holder: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    priority: Mapped[int]
    ready_at: Mapped[datetime | None]
    deadline: Mapped[datetime | None]
    error: Mapped[str | None]
    waits: Mapped[str | None]
    code: Mapped[str | None]
    parent: Mapped[Name | None]
    forked_from: Mapped[Name | None]
    forked_step: Mapped[Name | None]
    version: Mapped[BigInt]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]

    done: Mapped[list[Step]] = relationship(
        "Step", primaryjoin="Run.key == foreign(Step.key)", order_by="Step.position", viewonly=True
    )
    """Its steps, in the order of its code."""


class Step(Keyed, Model):
    """View `steps`: what is recorded of runs."""

    __tablename__ = "steps"
    __table_args__ = ({"info": {"view": True}},)

    key: Mapped[Name] = mapped_column(primary_key=True)
    step: Mapped[Name] = mapped_column(primary_key=True)
    name: Mapped[Name]
    kind: Mapped[str]
    state: Mapped[str]
    position: Mapped[int | None]
    result: Mapped[Json]
    # of the encoding's name, which convert_from() takes its collation from
    error: Mapped[Name | None]
    attempts: Mapped[int]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    token: Mapped[BigInt | None]


class RunRow(Model):
    """Table `run`: durable executions."""

    __tablename__ = "run"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="run_pkey"),
        UniqueConstraint("key", name="run_key_key"),
        CheckConstraint("state in ('open', 'done', 'failed', 'cancelled')", name="run_state_known"),
        Index(
            "run_ready_idx",
            "name",
            text("priority desc"),
            "ready_at",
            "id",
            postgresql_where=text("state = 'open' and key is not null and name is not null and not asleep"),
        ),
        Index(
            "run_asleep_idx",
            "name",
            "ready_at",
            postgresql_where=text("state = 'open' and key is not null and name is not null and asleep"),
        ),
        Index("run_gone_idx", "id", postgresql_where=text("key is null")),
    )

    id: Mapped[BigInt] = mapped_column(run_id_seq, server_default=run_id_seq.next_value())
    key: Mapped[Name | None]
    name: Mapped[Name | None]
    code: Mapped[str | None]
    seed: Mapped[UUID] = mapped_column(server_default=text("gen_random_uuid()"))
    state: Mapped[str] = mapped_column(server_default=text("'open'"))
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    ready_at: Mapped[datetime | None]
    begun_at: Mapped[datetime]
    deadline: Mapped[datetime | None]
    cancel_at: Mapped[datetime | None]
    parent: Mapped[Name | None]
    forked_from: Mapped[Name | None]
    forked_step: Mapped[Name | None]
    input_type: Mapped[str | None]
    input: Mapped[bytes | None]
    result_type: Mapped[str | None]
    result: Mapped[bytes | None]
    ended_at: Mapped[datetime | None]
    asleep: Mapped[bool] = mapped_column(server_default=text("false"))
    awaits: Mapped[list[str] | None] = mapped_column(ARRAY(Text(collation="C")))
    agent_id: Mapped[int | None]
    result_agent_id: Mapped[int | None]


class StepRow(Model):
    """Table `step`: steps of runs."""

    __tablename__ = "step"
    __table_args__ = (
        PrimaryKeyConstraint("run_id", "id", name="step_pkey"),
        CheckConstraint("state in ('pending', 'done', 'failed')", name="step_state_known"),
        CheckConstraint("octet_length(id) between 1 and 512", name="step_id_length"),
    )

    run_id: Mapped[BigInt]
    id: Mapped[Name]
    name: Mapped[Name]
    kind: Mapped[str]
    position: Mapped[int | None]
    main: Mapped[bool]
    state: Mapped[str]
    type: Mapped[str | None]
    data: Mapped[bytes | None]
    attempts: Mapped[int]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    token: Mapped[BigInt | None]
    agent_id: Mapped[int | None]


class SignalRow(Model):
    """Table `signal`: what was sent to runs."""

    __tablename__ = "signal"
    __table_args__ = (
        PrimaryKeyConstraint("run_id", "no", name="signal_pkey"),
        CheckConstraint("octet_length(name) between 1 and 256", name="signal_name_length"),
        Index("signal_waiting_idx", "run_id", "name", "no", postgresql_where=text("taken_by is null")),
    )

    no: Mapped[BigInt] = mapped_column(signal_no_seq, server_default=signal_no_seq.next_value())
    run_id: Mapped[BigInt]
    name: Mapped[Name]
    type: Mapped[str | None]
    data: Mapped[bytes | None]
    sender: Mapped[str]
    via: Mapped[str]
    sent_at: Mapped[datetime]
    taken_by: Mapped[Name | None]
    agent_id: Mapped[int | None]
