create function pgstate.rekey_data(
  part text, places text[], fields int[], digests bytea[], data bytea[], agent text default null
) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._rekey_data(pgstate._enter(rekey_data.agent), rekey_data.part, rekey_data.places, rekey_data.fields, rekey_data.digests, rekey_data.data);
end
$$;
comment on function pgstate.rekey_data(text, text[], int[], bytea[], bytea[], text) is
  'Puts payloads of sealed_data() that were sealed anew in their places, each if the SHA-256 of what is there is still its digest and nobody has locked it; how many. Chunks are then named by rekey_refs(). Needs admin on everything. PS007 PS010.';
