"""Tables of who may do what."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, PrimaryKeyConstraint, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from pgstate.models._base import False_, MaybeReach, Model, Name, Now, Reach, Trust


class AgentRow(Model):
    """Table `agent`: who acts, and groups of them."""

    __tablename__ = "agent"
    __table_args__ = (
        PrimaryKeyConstraint("id", name="agent_pkey"),
        UniqueConstraint("name", name="agent_name_key"),
        CheckConstraint(
            "name ~ '^[A-Za-z0-9._~:@=+,%-]{1,128}$' and name not in ('.', '..', 'pgstate')", name="agent_name_form"
        ),
    )

    id: Mapped[int] = mapped_column(server_default=text("nextval('pgstate.agent_id_seq')"))
    name: Mapped[Name]
    root: Mapped[False_]
    created_at: Mapped[Now]
    grouping: Mapped[False_]
    trust: Mapped[Trust]
    suspended_at: Mapped[datetime | None]
    suspended_by: Mapped[str | None]

    grants: Mapped[list[AccessGrantRow]] = relationship(
        "AccessGrantRow", order_by="AccessGrantRow.subtree", back_populates="agent", viewonly=True
    )
    logins: Mapped[list[LoginRow]] = relationship("LoginRow", back_populates="agent", viewonly=True)


class FormerAgentRow(Model):
    """Table `former_agent`: names that dropped agents had."""

    __tablename__ = "former_agent"
    __table_args__ = (PrimaryKeyConstraint("name", name="former_agent_pkey"),)

    name: Mapped[Name]
    dropped_at: Mapped[Now]
    dropped_by: Mapped[str]


class LoginRow(Model):
    """Table `login`: the database logins that pgstate knows."""

    __tablename__ = "login"
    __table_args__ = (
        PrimaryKeyConstraint("login", name="login_pkey"),
        ForeignKeyConstraint(["agent_id"], [AgentRow.id], name="login_agent_fkey", ondelete="cascade"),
        CheckConstraint("(agent_id is null) = gateway and not (root and gateway)", name="login_is_one_thing"),
    )

    login: Mapped[Name]
    agent_id: Mapped[int | None]
    gateway: Mapped[False_]
    root: Mapped[False_]
    created_at: Mapped[Now]
    agent_name: Mapped[Name | None]
    reads: Mapped[MaybeReach]
    writes: Mapped[MaybeReach]
    touches: Mapped[MaybeReach]
    folded_until: Mapped[datetime | None]
    quota: Mapped[False_]
    trust: Mapped[Trust]
    tickets: Mapped[False_]

    agent: Mapped[AgentRow | None] = relationship("AgentRow", back_populates="logins", viewonly=True)


class DelegationRow(Model):
    """Table `delegation`: which agents a gateway may act for."""

    __tablename__ = "delegation"
    __table_args__ = (
        PrimaryKeyConstraint("login", "agent_id", name="delegation_pkey"),
        UniqueConstraint("agent_name", "login", name="delegation_name_key"),
        ForeignKeyConstraint(["login"], [LoginRow.login], name="delegation_login_fkey", ondelete="cascade"),
        ForeignKeyConstraint(["agent_id"], [AgentRow.id], name="delegation_agent_fkey", ondelete="cascade"),
    )

    login: Mapped[Name]
    agent_id: Mapped[int]
    created_at: Mapped[Now]
    agent_name: Mapped[Name]
    reads: Mapped[MaybeReach]
    writes: Mapped[MaybeReach]
    touches: Mapped[MaybeReach]
    folded_until: Mapped[datetime | None] = mapped_column(server_default=text("'-infinity'"))
    quota: Mapped[False_]
    trust: Mapped[Trust]

    agent: Mapped[AgentRow] = relationship("AgentRow", viewonly=True)


class AccessGrantRow(Model):
    """Table `access_grant`: rights of agents on keys and subtrees."""

    __tablename__ = "access_grant"
    __table_args__ = (
        PrimaryKeyConstraint("agent_id", "subtree", "right", "deny", name="access_grant_pkey"),
        ForeignKeyConstraint(["agent_id"], [AgentRow.id], name="access_grant_agent_fkey", ondelete="cascade"),
        CheckConstraint("\"right\" in ('read', 'write', 'admin')", name="access_grant_right_known"),
    )

    agent_id: Mapped[int]
    subtree: Mapped[Name]
    right: Mapped[str]
    granted_by: Mapped[str]
    granted_at: Mapped[Now]
    deny: Mapped[False_]
    until: Mapped[datetime | None]

    agent: Mapped[AgentRow] = relationship("AgentRow", back_populates="grants", viewonly=True)


class GroupMemberRow(Model):
    """Table `group_member`: which agents are in which groups."""

    __tablename__ = "group_member"
    __table_args__ = (
        PrimaryKeyConstraint("group_id", "agent_id", name="group_member_pkey"),
        ForeignKeyConstraint(["group_id"], [AgentRow.id], name="group_member_group_fkey", ondelete="cascade"),
        ForeignKeyConstraint(["agent_id"], [AgentRow.id], name="group_member_agent_fkey", ondelete="cascade"),
        Index("group_member_agent_idx", "agent_id"),
    )

    group_id: Mapped[int]
    agent_id: Mapped[int]
    added_by: Mapped[str]
    added_at: Mapped[Now]


class ReachRow(Model):
    """Table `reach`: the grants of each agent, folded into ranges of keys."""

    __tablename__ = "reach"
    __table_args__ = (
        PrimaryKeyConstraint("agent_id", name="reach_pkey"),
        ForeignKeyConstraint(["agent_id"], [AgentRow.id], name="reach_agent_fkey", ondelete="cascade"),
    )

    agent_id: Mapped[int]
    reads: Mapped[Reach]
    writes: Mapped[Reach]
    admins: Mapped[Reach]
    touches: Mapped[Reach]
    folded_until: Mapped[datetime | None]
    quota: Mapped[False_]
    trust: Mapped[Trust]


class TicketKeyRow(Model):
    """Table `ticket_key`: keys that sign tickets. The owner alone reads it."""

    __tablename__ = "ticket_key"
    __table_args__ = (PrimaryKeyConstraint("id", name="ticket_key_pkey"),)

    id: Mapped[int] = mapped_column(server_default=text("nextval('pgstate.ticket_key_id_seq')"))
    inner_pad: Mapped[bytes]
    outer_pad: Mapped[bytes]
    created_at: Mapped[datetime]
    retired_at: Mapped[datetime | None]
