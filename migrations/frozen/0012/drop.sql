-- Back to 0011.
set local role pgstate_owner;

alter table pgstate.entry add constraint entry_live_has_value check (live = (value is not null) and version >= 0);

-- 0011 makes harden() with this type; its grants take it from PUBLIC again.
grant usage on type pgstate.harden_step to public;
