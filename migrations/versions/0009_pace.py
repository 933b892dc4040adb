"""Writes and lists of the past take less time; what has waited for a lock decides anew, and locks in order.

No table that grows is rewritten.
"""

from __future__ import annotations

from pgstate import _alembic

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# What going back loses: what it is, and a query for how many there are, run as the owner.
LOSSES: list[tuple[str, str]] = []


def upgrade() -> None:
    _alembic.apply(revision)


def downgrade() -> None:
    _alembic.undo(revision, down_revision)
