-- Back to 0005.
set local role pgstate_owner;

-- 0005 makes harden() with this type; its grants take it from PUBLIC again.
grant usage on type pgstate.harden_step to public;

-- threads
alter type pgstate._stored drop attribute version, drop attribute value, drop attribute at;
comment on type pgstate._stored is 'Internal: what became of a checkpoint that was to be stored.';
