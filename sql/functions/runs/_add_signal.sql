create function pgstate._add_signal(p_actor pgstate._actor, p_key text, p_name text, p_type text, p_data bytea, p_now timestamptz) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_run_id bigint;
begin
  insert into pgstate.signal (run_id, name, type, data, sender, via, sent_at, agent_id)
  select r.id, p_name, p_type, p_data, p_actor.name, session_user, p_now, case when p_actor.quota then p_actor.id end from pgstate.run r where r.key = p_key and r.state = 'open'
  returning run_id into v_run_id;
  if not found then
    return false;
  elsif p_actor.quota then
    perform pgstate._charge(0, octet_length(p_name) + coalesce(octet_length(p_type), 0) + coalesce(pg_column_size(p_data), 0)::bigint, null, array[v_run_id]);
  end if;
  if exists (select from pgstate.run r join pgstate.step s on s.run_id = r.id
              where r.key = p_key and r.asleep and s.kind = 'signal' and s.state = 'pending' and s.name = p_name) then
    perform pgstate._wake_run(p_key);
  end if;
  return true;
end
$$;
comment on function pgstate._add_signal(pgstate._actor, text, text, text, bytea, timestamptz) is 'Internal: keeps a signal for an open run.';
