"""Who wrote what is known where it was not yet, and quarantine acts on any amount of it.

No table that grows is rewritten.
"""

from __future__ import annotations

from pgstate import _alembic

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# What going back loses: what it is, and a query for how many there are, run as the owner.
LOSSES: list[tuple[str, str]] = [
    ("who wrote the writes of tasks", "select count(*) from pgstate.pending_write where writer is not null"),
]


def upgrade() -> None:
    _alembic.apply(revision)


def downgrade() -> None:
    _alembic.undo(revision, down_revision)
