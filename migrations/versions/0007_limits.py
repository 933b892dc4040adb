"""What an agent may store is limited in threads and runs as in entries.

No table that grows is rewritten.
"""

from __future__ import annotations

from pgstate import _alembic

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# What going back loses: what it is, and a query for how many there are, run as the owner.
LOSSES: list[tuple[str, str]] = [
    (
        "whose quota counts what is in threads: it counts to nobody",
        "select (select count(*) from pgstate.checkpoint where agent_id is not null)"
        " + (select count(*) from pgstate.pending_write where agent_id is not null)",
    ),
    (
        "whose quota counts what is in runs: it counts to nobody",
        "select (select count(*) from pgstate.run where agent_id is not null or result_agent_id is not null)"
        " + (select count(*) from pgstate.step where agent_id is not null)"
        " + (select count(*) from pgstate.signal where agent_id is not null)",
    ),
]


def upgrade() -> None:
    _alembic.apply(revision)


def downgrade() -> None:
    _alembic.undo(revision, down_revision)
