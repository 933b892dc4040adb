create function pgstate.complete(key text, token bigint, op_id text default null, agent text default null) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_out pgstate.outcome;
begin
  select o.* into v_out
    from pgstate.write_many(array['complete'], array[complete.key], tokens => array[complete.token],
                            op_ids => case when complete.op_id is not null then array[complete.op_id] end, agent => complete.agent) o;
  if v_out.code is not null then
    perform pgstate._raise(v_out.code, complete.key);
  end if;
  return row(v_out.status, v_out.version, v_out.value)::pgstate.written;
end
$$;
comment on function pgstate.complete(text, bigint, text, text) is 'Finishes claimed work: removes the entry with op complete, if the token is the current claim''s: status ok, stale or missing. PS001 PS007 PS010.';
