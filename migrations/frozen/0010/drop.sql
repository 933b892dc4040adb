-- Back to 0009.
set local role pgstate_owner;

-- 0009 makes harden() with this type; its grants take it from PUBLIC again.
grant usage on type pgstate.harden_step to public;

alter table pgstate.version replica identity default;
alter table pgstate.install drop column timeline;
