create function pgstate._rules_changed(p_subtree text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_rule record;
  v_given pgstate.keymultirange := '{}';
begin
  -- of rules that lie within each other the nearest decides
  for v_rule in
    select r.ranges, r.fields = '{}' and r.vector_fields = '{}' as gives from pgstate.search_rule r order by r.nearness
  loop
    v_given := case when v_rule.gives then v_given + v_rule.ranges else v_given - v_rule.ranges end;
  end loop;
  -- transactions with an older snapshot see that this row has changed, if not the rules: see _on_version_search()
  update pgstate.install i set given = v_given;
  insert into pgstate.search_build (subtree, asked_at) values (p_subtree, pgstate._now())
      on conflict on constraint search_build_pkey do update set after = '', barrier = null, asked_at = excluded.asked_at;
end
$$;
comment on function pgstate._rules_changed(text) is 'Internal: what follows from a change of a rule for search.';
