-- The audit trail is only added to. Retention lets go of what its time has passed for, and of its links after it; there is
-- no other way, for the tables' owner neither, short of removing these triggers.
create function pgstate._keep_audit() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if tg_op = 'DELETE' then
    if tg_table_name = 'audit' then
      if old.at < pgstate._now() - (select i.audit_keep from pgstate.install i) then
        return old;
      end if;
    elsif not exists (select from pgstate.audit a where a.id = old.audit_id) then
      return old;
    end if;
  end if;
  raise exception using errcode = 'PS010', message = 'the audit trail is only added to',
    hint = 'set_audit(keep) says after which time its entries are removed.';
end
$$;
comment on function pgstate._keep_audit() is 'Internal: refuses to change or remove what the audit trail holds.';

create trigger audit_kept before update or delete on pgstate.audit for each row execute function pgstate._keep_audit();
create trigger audit_kept_whole before truncate on pgstate.audit for each statement execute function pgstate._keep_audit();
create trigger audit_link_kept before update or delete on pgstate.audit_link for each row execute function pgstate._keep_audit();
create trigger audit_link_kept_whole before truncate on pgstate.audit_link for each statement execute function pgstate._keep_audit();
