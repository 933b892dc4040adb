"""Threads and checkpoints, and the LangGraph store.

Adds tables for threads, checkpoints and their chunks; changes none that there is.
"""

from __future__ import annotations

from pgstate import _alembic

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# What going back loses: what it is, and a query for how many there are, run as the owner.
LOSSES: list[tuple[str, str]] = [
    ("threads", "select count(*) from pgstate.thread where begun_at is not null and key is not null"),
    ("checkpoints", "select count(*) from pgstate.checkpoint"),
    ("pending writes of threads", "select count(*) from pgstate.pending_write"),
    ("vectors that writers gave with their values", "select count(*) from pgstate.embedding where digest = ''"),
]


def upgrade() -> None:
    _alembic.apply(revision)


def downgrade() -> None:
    _alembic.undo(revision, down_revision)
