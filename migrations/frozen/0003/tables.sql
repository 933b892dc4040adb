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

-- A restore in place is told, and what retention removed before a restore.
alter table pgstate.install
  add column horizon_epoch int,
  add column table_oid oid;
update pgstate.install i set table_oid = i.tableoid, horizon_epoch = case when i.horizon is not null then i.epoch end;
comment on column pgstate.install.horizon_epoch is 'Epoch of horizon.';
comment on column pgstate.install.table_oid is 'What the oid of this table was: in one that was dropped and restored in place it is another.';
-- Digests of reducers that are what they were go by the name of the language instead of its oid.
update pgstate.reducer r
   set digest = sha256(convert_to(row(l.lanname, p.provolatile, p.prosecdef, p.proisstrict, p.prorettype, p.proconfig, p.probin,
                                      coalesce(pg_get_function_sqlbody(p.oid), p.prosrc))::text, 'UTF8'))
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
 where n.nspname = r.function_schema and p.proname = r.function_name and p.proargtypes = '3802 3802'::oidvector
   and r.digest = sha256(convert_to(row(p.prolang, p.provolatile, p.prosecdef, p.proisstrict, p.prorettype, p.proconfig, p.probin,
                                        coalesce(pg_get_function_sqlbody(p.oid), p.prosrc))::text, 'UTF8'));

-- types/_purged.sql
create type pgstate._purged as (removed bigint, epoch int, xid xid8);
comment on type pgstate._purged is 'Internal: a purge: how many versions went, null when it must wait; epoch and xid: the horizon that follows from it.';

-- Tombstones that nothing keeps are purged, and new keys start above them (tables/entry.sql)
create sequence pgstate.version_floor cache 1;

-- tables/thinning.sql
-- How points of the feed become fewer with their age: at the density of one a second they would be 31 million a year.
create table pgstate.thinning (
  older interval not null,
  every interval not null,
  upto timestamptz,
  constraint thinning_pkey primary key (older),
  constraint thinning_every_range check (every between interval '1 second' and interval '1 day')
);
alter table pgstate.thinning enable row level security;
comment on table pgstate.thinning is 'Of the points of the feed that are older than this, the first of each interval stays. An administrator may change it.';
comment on column pgstate.thinning.upto is 'How far maintain() has come; null for nowhere yet.';

reset role;
