"""Threads and checkpoints: the views, and the tables under them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, PrimaryKeyConstraint, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.types import BYTEA
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import BigInteger

from pgstate.models._base import BigInt, False_, Json, Model, Name, thread_id_seq
from pgstate.models._patterns import Keyed


class Thread(Keyed, Model):
    """View `threads`: recorded executions."""

    __tablename__ = "threads"
    __table_args__ = ({"info": {"view": True}},)

    key: Mapped[Name] = mapped_column(primary_key=True)
    checkpoint: Mapped[str | None]
    ns: Mapped[str | None]
    checkpoints: Mapped[BigInt]
    bytes: Mapped[BigInt]
    version: Mapped[BigInt]
    writer: Mapped[str]
    via: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    forked_from: Mapped[Name | None]
    forked_id: Mapped[Name | None]

    points: Mapped[list[Checkpoint]] = relationship(
        "Checkpoint",
        primaryjoin="Thread.key == foreign(Checkpoint.key)",
        order_by="Checkpoint.id",
        viewonly=True,
    )
    """Its checkpoints, oldest first."""


class Checkpoint(Keyed, Model):
    """View `checkpoints`: points of threads, without their values."""

    __tablename__ = "checkpoints"
    __table_args__ = ({"info": {"view": True}},)

    key: Mapped[Name] = mapped_column(primary_key=True)
    ns: Mapped[Name] = mapped_column(primary_key=True)
    id: Mapped[Name] = mapped_column(primary_key=True)
    parent: Mapped[Name | None]
    metadata_: Mapped[Json] = mapped_column("metadata")
    run_id: Mapped[Name | None]
    channels: Mapped[list[str]] = mapped_column(ARRAY(Text))
    size: Mapped[BigInt]
    created_at: Mapped[datetime]
    writer: Mapped[str]
    via: Mapped[str]


class ThreadRow(Model):
    """Table `thread`: threads, and what is left of those that are gone."""

    __tablename__ = "thread"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="thread_pkey"),
        UniqueConstraint("key", name="thread_key_key"),
        Index(
            "thread_bases_idx",
            "bases",
            postgresql_using="gin",
            postgresql_with={"fastupdate": "off"},
            postgresql_where=text("bases <> '{}'"),
        ),
        Index("thread_collect_idx", "collect_at", postgresql_where=text("collect_at is not null")),
    )

    id: Mapped[BigInt] = mapped_column(thread_id_seq, server_default=thread_id_seq.next_value())
    key: Mapped[Name | None]
    bases: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default=text("'{}'"))
    begun_at: Mapped[datetime | None]
    pruned: Mapped[False_]
    forked_from: Mapped[Name | None]
    forked_id: Mapped[Name | None]
    collect_at: Mapped[datetime | None]


class CheckpointRow(Model):
    """Table `checkpoint`: roots of checkpoints."""

    __tablename__ = "checkpoint"
    __table_args__ = (
        PrimaryKeyConstraint("thread_id", "ns", "id", name="checkpoint_pkey"),
        Index("checkpoint_run_idx", "run_id", postgresql_where=text("run_id is not null")),
    )

    thread_id: Mapped[BigInt]
    ns: Mapped[Name]
    id: Mapped[Name]
    parent: Mapped[Name | None]
    names: Mapped[list[str]] = mapped_column(ARRAY(Text))
    versions: Mapped[list[str | None] | None] = mapped_column(ARRAY(Text))
    types: Mapped[list[str | None]] = mapped_column(ARRAY(Text))
    data: Mapped[list[bytes | None]] = mapped_column(ARRAY(BYTEA))
    header: Mapped[bytes | None]
    whole: Mapped[bool]
    metadata_: Mapped[Json] = mapped_column("metadata")
    run_id: Mapped[Name | None]
    size: Mapped[BigInt]
    created_at: Mapped[datetime]
    writer: Mapped[str]
    via: Mapped[str]
    agent_id: Mapped[int | None]


class ChunkRow(Model):
    """Table `chunk`: parts of the values of checkpoints."""

    __tablename__ = "chunk"
    __table_args__ = (PrimaryKeyConstraint("thread_id", "hash", name="chunk_pkey"),)

    thread_id: Mapped[BigInt]
    hash: Mapped[bytes]
    type: Mapped[Name]
    data: Mapped[bytes]
    moved_to: Mapped[bytes | None]
    agent_id: Mapped[int | None]


class PendingWriteRow(Model):
    """Table `pending_write`: writes of tasks that no checkpoint holds yet."""

    __tablename__ = "pending_write"
    __table_args__ = (
        PrimaryKeyConstraint("thread_id", "ns", "checkpoint", "task_id", "idx", name="pending_write_pkey"),
    )

    thread_id: Mapped[BigInt]
    ns: Mapped[Name]
    checkpoint: Mapped[Name]
    task_id: Mapped[Name]
    idx: Mapped[int]
    task_path: Mapped[Name]
    channel: Mapped[str]
    type: Mapped[Name]
    data: Mapped[bytes]
    agent_id: Mapped[int | None]
    writer: Mapped[Name | None]
    written_at: Mapped[datetime | None]
