-- Back to 0012.
set local role pgstate_owner;

-- 0012 makes harden() with this type; its grants take it from PUBLIC again.
grant usage on type pgstate.harden_step to public;

alter table pgstate.install drop column given;
