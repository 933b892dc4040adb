"""The blackboard: entries, versions, claims, grants and the change feed."""

from __future__ import annotations

from pgstate import _alembic

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# drop.sql takes the whole schema with it, Alembic's table included. Alembic then deletes its row and insists on
# finding it; the empty table and schema go at the end of the run (_alembic.CLOSING).
_VERSION_TABLE_AGAIN = """
create schema if not exists pgstate;
create table if not exists pgstate.alembic_version (
  version_num varchar(32) not null,
  constraint alembic_version_pkc primary key (version_num)
);
insert into pgstate.alembic_version (version_num) values ('0001') on conflict do nothing;
"""


def upgrade() -> None:
    _alembic.run_frozen(revision, "tables")
    _alembic.run_frozen(revision, "code")


def downgrade() -> None:
    _alembic.run_frozen(revision, "drop")
    _alembic.run_script(_VERSION_TABLE_AGAIN)
