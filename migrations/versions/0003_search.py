"""Search."""

from __future__ import annotations

from pgstate import _alembic

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _alembic.run_frozen(revision, "clear")
    _alembic.run_frozen(revision, "tables")
    _alembic.run_frozen(revision, "code")


def downgrade() -> None:
    _alembic.run_frozen(revision, "clear")
    _alembic.run_frozen(revision, "drop")
    _alembic.run_frozen(down_revision, "code")
