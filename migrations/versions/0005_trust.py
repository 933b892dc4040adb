"""What holds against an agent that has been taken over: trust, guards, quotas, deny rules, the audit trail.

Adds tables and columns for them; no table that grows is rewritten, all are locked for the moment that this takes.
"""

from __future__ import annotations

from pgstate import _alembic

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# What going back loses: what it is, and a query for how many there are, run as the owner.
LOSSES: list[tuple[str, str]] = [
    ("entries of the audit trail", "select count(*) from pgstate.audit"),
    ("denials: what they took away is granted again", "select count(*) from pgstate.access_grant where deny"),
    (
        "grants that were to end: they are gone",
        "select count(*) from pgstate.access_grant where not deny and until is not null",
    ),
    ("gateways that take tickets alone: they take names again", "select count(*) from pgstate.login where tickets"),
    ("quotas", "select count(*) from pgstate.quota"),
    ("groups of agents, with what they were granted", "select count(*) from pgstate.agent where grouping"),
    ("trust of versions, where it is not agent", "select count(*) from pgstate.version where trust <> 'agent'"),
    ("trust of agents", "select count(*) from pgstate.agent where trust <> 'agent' and not root"),
    ("policies about trust", "select count(*) from pgstate.policy where trust is not null"),
    ("credentials that agents may have resolved", "select count(*) from pgstate.credential_grant"),
    ("policies about secrets", "select count(*) from pgstate.policy where guard is not null"),
]


def upgrade() -> None:
    _alembic.apply(revision)


def downgrade() -> None:
    _alembic.undo(revision, down_revision)
