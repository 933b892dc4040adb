create function pgstate._install() returns pgstate.about
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select row('0003', null, null, i.value_limit, i.epoch)::pgstate.about from pgstate.install i);
end
$$;
comment on function pgstate._install() is 'Internal: the installation as info() tells it.';
