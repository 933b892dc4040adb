-- From 0003.
set local role pgstate_owner;

-- Stores.
comment on column pgstate.version.meta is 'ttl: the time to live, of an entry that touch() gave more time.';
