create function pgstate._rules_changed(p_subtree text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  -- transactions with an older snapshot see this, if not the rules: see _on_version_search()
  update pgstate.install i set policies = i.policies;
  insert into pgstate.search_build (subtree, asked_at) values (p_subtree, pgstate._now())
      on conflict on constraint search_build_pkey do update set after = '', barrier = null, asked_at = excluded.asked_at;
end
$$;
comment on function pgstate._rules_changed(text) is 'Internal: what follows from a change of a rule for search.';
