create function pgstate._drop_vectors(p_actor pgstate._actor, p_name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int;
begin
  perform pgstate._check_admin(p_actor, '**');
  perform pgstate._lock_policies();
  v_id := (select v.id from pgstate.vector_index v where v.name = p_name);
  if v_id is null then
    raise exception using errcode = 'PS007', message = format('there is no vector index %L', pgstate._shown(p_name)), hint = 'pgstate.vectors() lists them.';
  elsif exists (select from pgstate.search_rule r where r.vectors = p_name) then
    raise exception using errcode = 'PS007', message = format('vector index %s is in use', p_name),
      hint = 'pgstate.searches() lists what names it: set_search() there without vectors, or drop_search().';
  end if;
  execute format('drop index if exists pgstate.embedding_%s_idx', v_id);
  delete from pgstate.embedding m where m.index_id = v_id;
  delete from pgstate.vector_index v where v.id = v_id;
  perform pgstate._audit(p_actor, 'drop_vectors', null, jsonb_build_object('name', p_name));
end
$$;
comment on function pgstate._drop_vectors(pgstate._actor, text) is 'Internal: drop_vectors().';
