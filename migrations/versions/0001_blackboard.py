"""The blackboard: entries, versions, claims, grants and the change feed.

Makes the schema pgstate, the roles pgstate_owner, pgstate_api, pgstate_agent and pgstate_reader where the cluster has
none, 12 tables, and the functions; registers the role that runs it as agent admin. Back: removes all of it.
"""

from __future__ import annotations

from pgstate import _alembic
from pgstate._migration_sql import around

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# An installation that nobody used has nothing to lose but what every installation begins with.
LOSSES = [
    ("entries", "select count(*) from pgstate.entry where live"),
    ("versions", "select count(*) from pgstate.version"),
    ("agents", "select count(*) from pgstate.agent where not root"),
    ("gateways", "select count(*) from pgstate.login where gateway"),
    ("objects of yours that use it", f"select count(*) from ({around('dependents')}) dependents"),
]

# drop.sql takes the whole schema with it, Alembic's table included. Alembic then deletes its row and insists on
# finding it; the empty table and schema go at the end of the run (_migration_sql.closing).
_VERSION_TABLE_AGAIN = """
do $schema$
begin
  if pg_catalog.to_regnamespace('pgstate') is null then
    create schema pgstate;
  end if;
end
$schema$;
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
    _alembic.remove(_VERSION_TABLE_AGAIN)
