-- Writes the end of a run whose entry is locked; the version of that.
create function pgstate._end_run(p_actor pgstate._actor, p_key text, p_head pgstate._thread_head, p_state text, p_type text, p_data bytea)
returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_wakes boolean := pgstate._wake_parent(p_key);
  v_version bigint;
begin
  v_version := pgstate._thread_write(p_actor, p_key, p_head, p_head.value - 'cancelling' || jsonb_build_object('status', p_state)
    -- workers look for who waited for this
    || case when v_wakes then '{"wakes": true}'::jsonb else '{}' end
    || case when p_state = 'failed' and p_type = 'error' then jsonb_build_object('error', left(pgstate._text_of(p_data), 2000)) else '{}' end, null, 'run');
  perform pgstate._close_run(p_key, p_state, p_type, p_data, case when p_actor.quota then p_actor.id end);
  delete from pgstate.claim c where c.key = p_key;
  return v_version;
end
$$;
comment on function pgstate._end_run(pgstate._actor, text, pgstate._thread_head, text, text, bytea) is 'Internal: ends a run.';
