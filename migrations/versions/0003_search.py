"""Search, failures of claimed work, retention of deleted keys, restores in place, and views for analysts.

Adds columns to claim, install and policy, and tables for search, vectors, thinning and claims that were ended; no table
that grows is rewritten, all are locked for the moment that this takes. Views, and your own on top of them, stay. Back:
rules for search, vectors, and what policies say of claimed work are lost.
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
        "policies about claimed work",
        "select count(*) from pgstate.policy "
        "where num_nonnulls(max_attempts, backoff, backoff_limit, dead_letter, claimed_writes) > 0",
    ),
    ("claims in claim_log()", "select count(*) from pgstate.claim_log"),
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
