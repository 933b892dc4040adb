"""Search.

All tables are locked for the moment that this takes. Views, and your own on top of them, stay.
"""

from __future__ import annotations

from pgstate import _alembic

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# What going back loses: what it is, and a query for how many there are, run as the owner.
LOSSES = [
    (
        "the number above which keys start again whose tombstones were purged",
        "select coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0)",
    ),
]


def upgrade() -> None:
    _alembic.apply(revision)


def downgrade() -> None:
    _alembic.undo(revision, down_revision)
