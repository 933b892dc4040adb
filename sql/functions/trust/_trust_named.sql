create function pgstate._trust_named(p_name text) returns pgstate.trust
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if p_name is not null and not p_name = any (enum_range(null::pgstate.trust)::text[]) then
    raise exception using errcode = 'PS007', message = 'trust is external, agent, verified or operator';
  end if;
  return p_name::pgstate.trust;
end
$$;
comment on function pgstate._trust_named(text) is 'Internal: a trust by its name, PS007 for any other.';
