-- What is stored in parts, by the guard of its key: data and metadata without secrets, where it redacts, or the rule by which it is
-- refused. Names are refused and never redacted; chunks too, since they are named by the hash of what was sent. Arrays of any bounds
-- and dimensions are taken as unnest() takes them.
create function pgstate._guarded_parts(
  p_actor pgstate._actor, p_key text, p_names text[], p_types text[], inout data bytea[], inout metadata jsonb, p_chunk_types text[], p_chunk_data bytea[], p_more text,
  out rule text
) returns record
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_mode text := pgstate._guard_of(p_actor, p_key);
  v_types text[] := array(select unnest(p_types));
  v_found text;
  v_clean record;
begin
  if v_mode = 'off' then
    return;
  end if;
  rule := coalesce(
    pgstate._secret_rule(concat_ws(' ', array_to_string(p_names, ' '), p_more)),
    (select min((pgstate._guarded_bytes(c.type, c.data)).rule) from unnest(p_chunk_types, p_chunk_data) c (type, data) where c.type in ('json', '+json')));
  v_found := case when rule is null then pgstate._secret_rule(metadata::text) end;
  if v_found is not null and v_mode = 'refuse' then
    rule := v_found;
  elsif v_found is not null then
    metadata := pgstate._redact(metadata::text)::jsonb;
  end if;
  data := array(select unnest(data));
  for v_index in 1 .. cardinality(v_types) loop
    exit when rule is not null;
    if v_types[v_index] in ('json', 'error') then
      v_clean := pgstate._guarded_bytes(v_types[v_index], data[v_index]);
      if v_clean.rule is not null and v_mode = 'refuse' then
        rule := v_clean.rule;
      else
        data[v_index] := v_clean.data;
      end if;
    end if;
  end loop;
end
$$;
comment on function pgstate._guarded_parts(pgstate._actor, text, text[], text[], bytea[], jsonb, text[], bytea[], text) is
  'Internal: names, data and metadata by the guard of their key.';
