create type pgstate._look as (agent text, reads pgstate.keymultirange, epoch int, head text, base pg_snapshot, upto pg_snapshot, found bigint);
comment on type pgstate._look is 'Internal: a page of the feed behind which little has happened: who reads, what a cursor begins with, from where to where, and how many changes there are for all agents together.';
