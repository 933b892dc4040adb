create function pgstate.complete(
  key text, token bigint, op_id text default null, agent text default null, result jsonb default null, move_to text default null
) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_out pgstate.outcome;
begin
  if complete.result is null and complete.move_to is null then
    return pgstate._written(pgstate.write_one('complete', complete.key, token => complete.token, op_id => complete.op_id,
      agent => complete.agent), complete.key);
  end if;
  select o.* into v_out
    from pgstate.complete_many(array[complete.key], array[complete.token], array[complete.result], array[complete.move_to],
                               case when complete.op_id is not null then array[complete.op_id] end, agent => complete.agent) o;
  return pgstate._written(v_out, coalesce(complete.move_to, complete.key));
end
$$;
comment on function pgstate.complete(text, bigint, text, text, jsonb, text) is
  'Finishes claimed work: removes the entry with op complete, if the token is the current claim''s: status ok, stale or missing. With move_to the result, or without one the entry''s value, is put there in the same transaction, or nothing is done: held when that key is claimed. PS001 PS003 PS004 PS007 PS008 PS009 PS010 PS030 PS040.';
