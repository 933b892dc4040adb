create function pgstate.rotate_ticket_keys(grace interval default '1 hour') returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._rotate_ticket_keys(pgstate._enter(null), rotate_ticket_keys.grace);
end
$$;
comment on function pgstate.rotate_ticket_keys(interval) is 'Signs tickets with a new key, whose number it returns, from now on. Those that are about are taken for the time of grace yet, a day at most; 0 ends all of them at once. Needs admin on everything. PS007 PS010.';
