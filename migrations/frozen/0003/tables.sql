-- From 0002.
set local role pgstate_owner;
alter type pgstate._actor add attribute horizon xid8;
comment on type pgstate._actor is 'Internal: the acting agent with its cached rights; in a write also whether its lane is ready, or what the lane kept; horizon for reads of the feed.';

-- types/_feed_row.sql
create type pgstate._feed_row as (
  key text, version bigint, seq bigint, xid xid8, op text, created boolean, value jsonb, reducer text, writer text, via text,
  at timestamptz, expires_at timestamptz
);
comment on type pgstate._feed_row is 'Internal: a change on a page of the feed; value null when it is read later.';

-- types/_look.sql
create type pgstate._look as (agent text, reads pgstate.keymultirange, epoch int, head text, base pg_snapshot, upto pg_snapshot, found bigint);
comment on type pgstate._look is 'Internal: a page of the feed behind which little has happened: who reads, what a cursor begins with, from where to where, and how many changes there are for all agents together.';

reset role;
