create function pgstate.sealed_keys(part text, first_block bigint, blocks int, agent text default null) returns setof pgstate.sealed_count
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._sealed_keys(pgstate._enter(sealed_keys.agent), sealed_keys.part, sealed_keys.first_block, sealed_keys.blocks);
end
$$;
comment on function pgstate.sealed_keys(text, bigint, int, text) is
  'How many payloads in these blocks are sealed under which key. Not those in outcomes that are kept for retries, for minutes. Needs admin on everything. PS007 PS010.';
