"""Fencing tokens are given once, after a restore or promotion too; retention works where all tables are published.

Functions, one replica identity, one column in a table of one row: no table is rewritten, no index changes.
"""

from __future__ import annotations

from pgstate import _alembic

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# What going back loses: what it is, and a query for how many there are, run as the owner.
LOSSES: list[tuple[str, str]] = []


def upgrade() -> None:
    _alembic.apply(revision)


def downgrade() -> None:
    _alembic.undo(revision, down_revision)
