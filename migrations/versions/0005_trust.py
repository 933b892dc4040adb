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
]


def upgrade() -> None:
    _alembic.apply(revision)


def downgrade() -> None:
    _alembic.undo(revision, down_revision)
