create function pgstate.rekey_refs(depth int, first_block bigint, blocks int, agent text default null) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._rekey_refs(pgstate._enter(rekey_refs.agent), rekey_refs.depth, rekey_refs.first_block, rekey_refs.blocks);
end
$$;
comment on function pgstate.rekey_refs(int, bigint, int, text) is
  'Has pages of chunks of a depth, from 0 on, or with null the roots of checkpoints, in these blocks of the parts chunk and checkpoint name the chunks that rekey_data() has sealed anew; how many, or null where there are none of that depth. Needs admin on everything. PS007 PS010.';
