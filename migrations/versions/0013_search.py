"""Less work for filters, gateways and writes where search follows; faults in threads and search mended.

Functions; the table install, of one row, has a column more, and delegation has what its agents reach.
"""

from __future__ import annotations

from pgstate import _alembic

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# What going back loses: what it is, and a query for how many there are, run as the owner.
LOSSES: list[tuple[str, str]] = []


def upgrade() -> None:
    _alembic.apply(revision)


def downgrade() -> None:
    _alembic.undo(revision, down_revision)
