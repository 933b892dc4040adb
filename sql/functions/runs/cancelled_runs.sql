create function pgstate.cancelled_runs(keys text[], agent text default null) returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(cancelled_runs.agent);
  v_key text;
begin
  for v_key in select k from unnest(cancelled_runs.keys) k where (select v_actor.reads + '{}') @> k loop
    if (pgstate._run_of(v_key)).cancel_at is not null then
      return next v_key;
    end if;
  end loop;
end
$$;
comment on function pgstate.cancelled_runs(text[], text) is 'Which of these runs, of those that the caller may read, have been told to end. For who works on them. PS010.';
