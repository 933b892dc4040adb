-- Who acts in a call, and what they reach: made once at the start of every function, never by the caller. A call about one
-- key gets readable and writable in place of the ranges, which are long and would be copied from function to function.
create type pgstate._actor as (
  id int, name text, epoch int, value_limit int, reads pgstate.keymultirange, writes pgstate.keymultirange, identity text,
  readable boolean, writable boolean, lane_ready boolean, kept jsonb, policies boolean, horizon xid8,
  quota boolean, trust pgstate.trust
);
comment on type pgstate._actor is 'Internal: the acting agent with its cached rights; in a write also whether its lane is ready, or what the lane kept, in other calls whether the installation is where it was (not restored) in place of that; horizon for reads of the feed.';
