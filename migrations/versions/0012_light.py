"""Small writes ask for less again, and what else was found.

Functions and views; a check constraint of the table entry goes, no index changes.
"""

from __future__ import annotations

from pgstate import _alembic

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# What going back loses: what it is, and a query for how many there are, run as the owner.
LOSSES: list[tuple[str, str]] = []


def upgrade() -> None:
    _alembic.apply(revision)


def downgrade() -> None:
    _alembic.undo(revision, down_revision)
