-- The installing role makes harden() with this type, which is the owner's; execute.sql takes it from PUBLIC again.
grant usage on type pgstate.harden_step to public;
