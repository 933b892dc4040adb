-- Administration as the tables' owner; each checks the caller's right itself, so that no function above can forget it.
create function pgstate._check_admin(p_actor pgstate._actor, p_subtree text) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  -- {agent} is checked as what it may come to stand for: any segment, so the subtree above it
  if not coalesce((select r.admins from pgstate._reach r where r.agent_id = p_actor.id)
                  @> pgstate._subtree_ranges(regexp_replace(p_subtree, E'(^|/)\\{agent\\}(/.*)?$', E'\\1**'), p_actor.name), false) then
    perform pgstate._deny();
  elsif current_setting('transaction_isolation') <> 'read committed' then
    perform pgstate._check_rights_seen(p_actor.id);
  end if;
end
$$;
comment on function pgstate._check_admin(pgstate._actor, text) is 'Internal: raises PS010 unless the caller administers the whole subtree.';
