-- What the acting agent reaches with one right, for functions, and for the policies of readers.
create function pgstate._reachable(p_right text) returns pgstate.keymultirange
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if p_right = 'touch' then
    return (select a.touches from pgstate._acting_reach a);
  elsif p_right = 'write' then
    return (select a.writes from pgstate._acting_reach a);
  end if;
  return (select a.reads from pgstate._acting_reach a);
end
$$;
comment on function pgstate._reachable(text) is 'Internal: what the acting agent may read, write, or touch (either).';
