-- Back to 0005.
set local role pgstate_owner;

-- 0005 makes harden() with this type; its grants take it from PUBLIC again.
grant usage on type pgstate.harden_step to public;

-- Keys of encryption.
alter table pgstate.chunk drop column moved_to;
drop type pgstate.sealed_row, pgstate.sealed_part, pgstate.sealed_count;
