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
LOSSES: list[tuple[str, str]] = []


def upgrade() -> None:
    _alembic.take_locks()
    _alembic.run_frozen(revision, "clear")
    _alembic.run_frozen(revision, "tables")
    _alembic.run_frozen(revision, "code")


def downgrade() -> None:
    _alembic.take_locks()
    _alembic.run_frozen(revision, "clear")
    _alembic.run_frozen(revision, "drop")
    _alembic.run_frozen(down_revision, "code")
