-- Leaves a tombstone, so that versions never restart.
create function pgstate.delete(
  key text, expect bigint default null, token bigint default null, op_id text default null, agent text default null
) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_out pgstate.outcome;
begin
  select o.* into v_out from pgstate.write_many(array['delete'], array[delete.key],
    expects => array[delete.expect], tokens => array[delete.token],
    op_ids => case when delete.op_id is not null then array[delete.op_id] end, agent => delete.agent) o;
  if v_out.code is not null then
    perform pgstate._raise(v_out.code, delete.key);
  end if;
  return row(v_out.status, v_out.version, v_out.value)::pgstate.written;
end
$$;
comment on function pgstate.delete(text, bigint, bigint, text, text) is
  'Deletes a key; its history stays and its versions go on when it is created again. Status ok, missing, conflict, held or stale. PS001 PS007 PS010 PS030 PS040.';
