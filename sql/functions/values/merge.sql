-- Never conflicts: concurrent merges into one key all take effect.
create function pgstate.merge(
  key text, operand jsonb, reducer text default null, ttl interval default null, op_id text default null, token bigint default null,
  return_value boolean default false, agent text default null,
  trust text default null, sources jsonb default null
) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._written(pgstate.write_one('merge', merge.key, merge.operand, ttl => merge.ttl, token => merge.token,
    reducer => merge.reducer, return_value => merge.return_value, op_id => merge.op_id, agent => merge.agent,
    trust => merge.trust, sources => merge.sources), merge.key);
end
$$;
comment on function pgstate.merge(text, jsonb, text, interval, text, bigint, boolean, text, text, jsonb) is
  'Merges an operand into a key inside the database, by replace, append, add, max, min, union, merge, deep_merge, messages or first, or without a name by the one that a policy sets; a missing key starts from the operand. Status as put(); the merged value when return_value. A merge that changes nothing makes no version, unless it gives a ttl, or the value grows by merges beyond 2 kB: what is merged into that is kept by itself. trust and sources as in put(), of the operand: the value is trusted no more than that, nor than before. PS001 PS003 PS004 PS005 PS006 PS008 PS009 PS010 PS030 PS040.';
