create type pgstate.applied as (ord int, key text, status text, version bigint, value jsonb, watched boolean);
comment on type pgstate.applied is 'Outcome of one guard or operation of apply(), guards first: ok everywhere, or the failing rows'' own status and skipped for the rest; watched as in outcome.';
