"""Reading the past, going back to it, and policies.

Adds columns to entry, version and install, which rewrites no table, and tables for policies, retention and points of
the past; all tables are locked for the moment that this takes. Back: values stored as operands are written out first,
which takes longer the more there are; policies, own reducers and points of the past are lost.
"""

from __future__ import annotations

from pgstate import _alembic

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LOSSES = [
    ("policies", "select count(*) from pgstate.policy"),
    ("registered reducers", "select count(*) from pgstate.reducer"),
    # of a past in which nothing was written nobody will ask
    (
        "points of the past, by which times are known",
        "select count(*) from pgstate.feed_point where exists (select from pgstate.version)",
    ),
]

# 0001 knows no operands in place of values. As the owner, whom no policy binds: who undoes a revision need not be an
# agent that may read everything.
_WRITE_OUT = """
set local role pgstate_owner;
do $write_out$
declare
  v_row record;
  v_value jsonb;
begin
  for v_row in
    select v.key, v.version, v.value, v.reducer from pgstate.version v
     where v.key in (select o.key from pgstate.version o where o.reducer is not null) order by v.key, v.version
  loop
    if v_row.reducer is null then
      v_value := v_row.value;
    else
      v_value := pgstate._reduce(v_row.reducer, v_value, v_row.value);
      update pgstate.version v set value = v_value, reducer = null
       where v.key = v_row.key and v.version = v_row.version;
    end if;
  end loop;
  update pgstate.entry e set value = v.value, full_version = null
    from pgstate.version v where e.full_version < e.version and v.key = e.key and v.version = e.version;
end
$write_out$;
reset role;
"""


def upgrade() -> None:
    _alembic.apply(revision)


def downgrade() -> None:
    _alembic.undo(revision, down_revision, _WRITE_OUT)
