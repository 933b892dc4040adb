"""Plans of searches and old snapshots tell nothing more; suspending an agent tells what else is under way.

Functions; no table changes.
"""

from __future__ import annotations

from pgstate import _alembic

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# What going back loses: what it is, and a query for how many there are, run as the owner.
LOSSES: list[tuple[str, str]] = []


def upgrade() -> None:
    _alembic.apply(revision)


def downgrade() -> None:
    _alembic.undo(revision, down_revision)
