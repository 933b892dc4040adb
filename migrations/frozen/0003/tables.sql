-- From 0002.
set local role pgstate_owner;
alter type pgstate._actor add attribute horizon xid8;
comment on type pgstate._actor is 'Internal: the acting agent with its cached rights; in a write also whether its lane is ready, or what the lane kept; horizon for reads of the feed.';

-- types/_look.sql
create type pgstate._look as (agent text, reads pgstate.keymultirange, epoch int, head text, base pg_snapshot, upto pg_snapshot, found bigint);
comment on type pgstate._look is 'Internal: a page of the feed behind which little has happened: who reads, what a cursor begins with, from where to where, and how many changes there are for all agents together.';

reset role;
