-- Never conflicts: concurrent merges into one key all take effect.
create function pgstate.merge(
  key text, operand jsonb, reducer text, ttl interval default null, op_id text default null, token bigint default null,
  return_value boolean default false, agent text default null
) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_out pgstate.outcome;
begin
  select o.* into v_out from pgstate.write_many(array['merge'], array[merge.key],
    "values" => array[merge.operand], reducers => array[merge.reducer], ttls => array[merge.ttl], tokens => array[merge.token],
    return_values => array[merge.return_value], op_ids => case when merge.op_id is not null then array[merge.op_id] end, agent => merge.agent) o;
  if v_out.code is not null then
    perform pgstate._raise(v_out.code, merge.key);
  end if;
  return row(v_out.status, v_out.version, v_out.value)::pgstate.written;
end
$$;
comment on function pgstate.merge(text, jsonb, text, interval, text, bigint, boolean, text) is
  'Merges an operand into a key inside the database, by replace, append, add, max, min, union, merge, deep_merge, messages or first; a missing key starts from the operand. Status as put(); the merged value when return_value. A merge that changes nothing makes no version, unless it gives a ttl. PS001 PS003 PS004 PS005 PS006 PS010 PS030 PS040.';
