-- Back to 0012.
set local role pgstate_owner;

-- 0012 makes harden() with this type; its grants take it from PUBLIC again.
grant usage on type pgstate.harden_step to public;

alter table pgstate.install drop column given;
alter table pgstate.delegation
  drop constraint delegation_name_key,
  drop column agent_name, drop column reads, drop column writes, drop column touches, drop column folded_until, drop column quota,
  drop column trust;
