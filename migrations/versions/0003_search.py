"""Search, retention of deleted keys, restores in place, and views for analysts.

Adds columns to install and tables for search, vectors and thinning, which touches no row of a table that grows; all
tables are locked for the moment that this takes. Views, and your own on top of them, stay. Back: rules for search and
vectors are lost.
"""

from __future__ import annotations

from pgstate import _alembic

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# What going back loses: what it is, and a query for how many there are, run as the owner.
LOSSES = [
    ("rules for search", "select count(*) from pgstate.search_rule"),
    ("vector indexes", "select count(*) from pgstate.vector_index"),
    ("vectors", "select count(*) from pgstate.embedding"),
    (
        "the number above which keys start again whose tombstones were purged",
        "select coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0)",
    ),
]


def upgrade() -> None:
    _alembic.apply(revision)


def downgrade() -> None:
    _alembic.undo(revision, down_revision)
