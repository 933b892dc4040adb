-- Leaves a tombstone, so that versions never restart.
create function pgstate.delete(
  key text, expect bigint default null, token bigint default null, op_id text default null, agent text default null
) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._written(pgstate.write_one('delete', delete.key, expect => delete.expect, token => delete.token,
    op_id => delete.op_id, agent => delete.agent), delete.key);
end
$$;
comment on function pgstate.delete(text, bigint, bigint, text, text) is
  'Deletes a key; its history stays and its versions go on when it is created again. Status ok, missing, conflict, held or stale. PS001 PS007 PS010 PS030 PS040.';
