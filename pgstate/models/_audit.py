"""The audit trail: its tables, and the view."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, PrimaryKeyConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from pgstate.models._base import BigInt, Json, KeyMultirange, Model, Name, denied_count_id_seq


class AuditRow(Model):
    """Table `audit`: what was granted, administered, resolved and denied."""

    __tablename__ = "audit"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="audit_pkey"),
        CheckConstraint("octet_length(key) <= 520", name="audit_key_length"),
        Index("audit_key_idx", "key", "id"),
        Index("audit_denied_idx", "via", "agent", "at", postgresql_where=text("event = 'denied'")),
    )

    id: Mapped[BigInt] = mapped_column(server_default=text("nextval('pgstate.audit_id_seq')"))
    at: Mapped[datetime]
    event: Mapped[str]
    agent: Mapped[Name | None]
    via: Mapped[str]
    key: Mapped[Name | None]
    detail: Mapped[Json]


class AuditChainRow(Model):
    """Table `audit_chain`: subtrees whose part of the audit trail is linked by hashes."""

    __tablename__ = "audit_chain"
    __table_args__ = (PrimaryKeyConstraint("subtree", name="audit_chain_pkey"),)

    subtree: Mapped[Name]
    ranges: Mapped[Any] = mapped_column(KeyMultirange)
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    set_by: Mapped[str]
    set_at: Mapped[datetime]
    head_no: Mapped[BigInt] = mapped_column(server_default=text("0"))
    head_hash: Mapped[bytes] = mapped_column(server_default=text("''"))
    cut_no: Mapped[BigInt] = mapped_column(server_default=text("0"))
    cut_hash: Mapped[bytes] = mapped_column(server_default=text("''"))


class AuditLinkRow(Model):
    """Table `audit_link`: the links."""

    __tablename__ = "audit_link"
    __table_args__ = (
        PrimaryKeyConstraint("subtree", "no", name="audit_link_pkey"),
        Index("audit_link_audit_idx", "audit_id"),
    )

    subtree: Mapped[Name]
    no: Mapped[BigInt]
    audit_id: Mapped[BigInt]
    hash: Mapped[bytes]


class AuditPendingRow(Model):
    """Table `audit_pending`: entries that are to be linked."""

    __tablename__ = "audit_pending"
    __table_args__ = (PrimaryKeyConstraint("subtree", "audit_id", name="audit_pending_pkey"),)

    subtree: Mapped[Name]
    audit_id: Mapped[BigInt]


class DeniedCountRow(Model):
    """Table `denied_count`: denials that the audit trail does not have one by one."""

    __tablename__ = "denied_count"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="denied_count_pkey"),
        Index("denied_count_idx", "via", "minute"),
        {"postgresql_with": {"fillfactor": 50}},
    )

    id: Mapped[BigInt] = mapped_column(denied_count_id_seq, server_default=denied_count_id_seq.next_value())
    minute: Mapped[datetime]
    agent: Mapped[Name | None]
    via: Mapped[str]
    denials: Mapped[BigInt]


class Audit(Model):
    """View `audit_log`: the audit trail, where the reader administers."""

    __tablename__ = "audit_log"
    __table_args__ = ({"info": {"view": True}},)

    id: Mapped[BigInt] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    event: Mapped[str]
    agent: Mapped[str | None]
    via: Mapped[str]
    key: Mapped[str | None]
    detail: Mapped[Json]
