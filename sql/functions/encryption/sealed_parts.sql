create function pgstate.sealed_parts(agent text default null) returns setof pgstate.sealed_part
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._sealed_parts(pgstate._enter(sealed_parts.agent));
end
$$;
comment on function pgstate.sealed_parts(text) is
  'What clients may have sealed (connect(encryption=…)), in the order in which it is to be sealed anew, and the blocks of its tables, to be gone through by sealed_data() and sealed_keys(). Needs admin on everything. PS010.';
