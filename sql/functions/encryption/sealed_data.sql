create function pgstate.sealed_data(
  part text, first_block bigint, blocks int, "current" text, after_place text default null, agent text default null
) returns setof pgstate.sealed_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select * from pgstate._sealed_data(pgstate._enter(sealed_data.agent), sealed_data.part, sealed_data.first_block, sealed_data.blocks,
                                       sealed_data."current", sealed_data.after_place);
end
$$;
comment on function pgstate.sealed_data(text, bigint, int, text, text, text) is
  'The payloads in these blocks that are sealed under another key than current, to be sealed anew and given to rekey_data(): 8 MB of them, and one row more; then more is true, and after_place, the last place, goes on. key and name tell people where it is. Needs admin on everything. PS007 PS010.';
