-- Who acts in a call, and what they reach: made once at the start of every function, never by the caller.
create type pgstate._actor as (
  id int, name text, epoch int, value_limit int, reads pgstate.keymultirange, writes pgstate.keymultirange, identity text
);
comment on type pgstate._actor is 'Internal: the acting agent with its cached rights.';
