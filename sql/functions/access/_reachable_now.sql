create function pgstate._reachable_now(p_right text) returns pgstate.keymultirange
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select case p_right when 'touch' then r.touches when 'write' then r.writes when 'read' then r.reads end + '{}'
            from pgstate._acting_any a cross join lateral (select * from pgstate._reach x where x.agent_id = a.agent_id offset 0) r);
end
$$;
comment on function pgstate._reachable_now(text) is 'Internal: _reachable(), as of now.';
