create function pgstate._drop_search(p_actor pgstate._actor, p_subtree text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_admin(p_actor, p_subtree);
  perform pgstate._lock_policies();
  perform pgstate._forget_given(p_subtree);
  delete from pgstate.search_rule r where r.subtree = p_subtree;
  if not found then
    raise exception using errcode = 'PS007', message = format('there is no search on %s to drop', p_subtree), hint = 'pgstate.searches() lists them.';
  end if;
  perform pgstate._rules_changed(p_subtree);
  perform pgstate._audit(p_actor, 'drop_search', p_subtree);
end
$$;
comment on function pgstate._drop_search(pgstate._actor, text) is 'Internal: drop_search().';
