"""What an agent that has been taken over wrote is found, shown and undone in one call.

No table that grows is rewritten.
"""

from __future__ import annotations

from pgstate import _alembic

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# What going back loses: what it is, and a query for how many there are, run as the owner.
LOSSES: list[tuple[str, str]] = [
    (
        "suspended agents: they are there, without grants and groups",
        "select count(*) from pgstate.agent where suspended_at is not null",
    ),
]


def upgrade() -> None:
    _alembic.apply(revision)


def downgrade() -> None:
    _alembic.undo(revision, down_revision)
