create function pgstate._install() returns pgstate.about
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  -- serves: the entry points of every revision from there on still take the same calls (tests/migration)
  return (select row('0014', null, null, i.value_limit, i.epoch, '0001')::pgstate.about from pgstate.install i);
end
$$;
comment on function pgstate._install() is 'Internal: the installation as info() tells it.';
