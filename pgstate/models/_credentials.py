"""Table of credentials that agents may have resolved."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, PrimaryKeyConstraint
from sqlalchemy.orm import Mapped

from pgstate.models._access import AgentRow
from pgstate.models._base import Model, Name


class CredentialGrantRow(Model):
    """Table `credential_grant`: which credentials agents may have resolved, and for what."""

    __tablename__ = "credential_grant"
    __table_args__ = (
        PrimaryKeyConstraint("agent_id", "name", "purpose", name="credential_grant_pkey"),
        ForeignKeyConstraint(["agent_id"], [AgentRow.id], name="credential_grant_agent_fkey", ondelete="cascade"),
    )

    agent_id: Mapped[int]
    name: Mapped[Name]
    purpose: Mapped[Name]
    granted_by: Mapped[str]
    granted_at: Mapped[datetime]
