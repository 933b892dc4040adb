create function pgstate._set_search(
  p_actor pgstate._actor, p_subtree text, p_fields text[], p_config text, p_vectors text, p_vector_fields text[]
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_field text;
  v_same boolean;
begin
  perform pgstate._check_admin(p_actor, p_subtree);
  if strpos(p_subtree, '{agent}') > 0 then
    raise exception using errcode = 'PS002', message = format('invalid subtree %L', pgstate._shown(p_subtree)),
      hint = 'What is indexed is about keys, whoever writes them: {agent} has no meaning in it.';
  elsif greatest(cardinality(p_fields), cardinality(p_vector_fields)) > 32 or greatest(array_ndims(p_fields), array_ndims(p_vector_fields)) > 1 then
    raise exception using errcode = 'PS007', message = 'fields are 32 at most, in an array of one dimension';
  elsif p_vector_fields is not null and p_vectors is null then
    raise exception using errcode = 'PS007', message = 'vector_fields are for vectors: name a vector index', hint = 'create_vectors(name, dims, model) makes one.';
  end if;
  perform pgstate._refuse_secrets(p_actor, p_subtree, concat_ws(' ', p_subtree, array_to_string(p_fields, ' '), array_to_string(p_vector_fields, ' ')));
  foreach v_field in array p_fields || p_vector_fields loop
    perform pgstate._path_steps(v_field);
  end loop;
  begin
    perform p_config::regconfig;
  exception when undefined_object or invalid_schema_name or insufficient_privilege or invalid_name or syntax_error or feature_not_supported
    or numeric_value_out_of_range then
    raise exception using errcode = 'PS007', message = format('unknown text search configuration %L', pgstate._shown(p_config)),
      hint = 'Those of Postgres go by name (english, german, simple); others need their schema (app.german), which pgstate_owner must be able to use.';
  end;
  perform pgstate._lock_policies();
  if p_vectors is not null then
    perform from pgstate.vector_index v where v.name = p_vectors for key share;
    if not found then
      raise exception using errcode = 'PS007', message = format('there is no vector index %L', pgstate._shown(p_vectors)),
        hint = 'create_vectors(name, dims, model) makes one.';
    end if;
  end if;
  v_same := (
    select (r.fields, r.config, r.vectors, r.vector_fields) is not distinct from (p_fields, p_config, p_vectors, p_vector_fields)
      from pgstate.search_rule r where r.subtree = p_subtree);
  if v_same then
    return;
  end if;
  perform pgstate._check_room(p_actor, (
    select count(*) from pgstate.search_rule r where r.set_by = p_actor.name and r.subtree <> p_subtree), 100, 'rules for search');
  perform pgstate._forget_given(p_subtree);
  insert into pgstate.search_rule as r (subtree, nearness, ranges, fields, config, vectors, vector_fields, set_by, set_at)
  values (p_subtree,
          case when p_subtree = '**' then 0
               else 2 * cardinality(string_to_array(regexp_replace(p_subtree, E'/\\*\\*$', ''), '/')) + (p_subtree !~ E'\\*$')::int end,
          pgstate._pattern_ranges(p_subtree), p_fields, p_config, p_vectors, p_vector_fields, p_actor.name, pgstate._now())
      on conflict on constraint search_rule_pkey do update
     set id = excluded.id, fields = excluded.fields, config = excluded.config, vectors = excluded.vectors, vector_fields = excluded.vector_fields,
         set_by = excluded.set_by, set_at = excluded.set_at;
  perform pgstate._rules_changed(p_subtree);
  perform pgstate._audit(p_actor, 'set_search', p_subtree, jsonb_build_object('fields', p_fields, 'config', p_config, 'vectors', p_vectors, 'vector_fields', p_vector_fields));
  if (select r.admins @> pgstate._pattern_ranges('**') from pgstate._reach r where r.agent_id = p_actor.id) then
    perform pgstate._follow_writes();
  elsif not exists (select from pg_trigger t where t.tgname = 'version_search' and t.tgrelid = 'pgstate.version'::regclass) then
    raise exception using errcode = 'PS010', message = 'search does not follow writes here yet',
      hint = 'All writes wait while it begins to: somebody who administers everything calls set_search() first, for any key or subtree.';
  end if;
end
$$;
comment on function pgstate._set_search(pgstate._actor, text, text[], text, text, text[]) is 'Internal: set_search().';
