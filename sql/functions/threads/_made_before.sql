-- Was an id that _checkpoint_id() has made, of a UUID of version 6, made before a time? False for others.
create function pgstate._made_before(p_id text, p_at timestamptz) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_id !~ '^[0-9a-f]{8}-[0-9a-f]{4}-6[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$' then
    return false;
  end if;
  return ('x0' || left(p_id, 8) || substr(p_id, 10, 4) || substr(p_id, 16, 3))::bit(64)::bigint
    < (extract(epoch from p_at) * 1000000)::bigint * 10 + 122192928000000000;
end
$$;
comment on function pgstate._made_before(text, timestamptz) is 'Internal: was an id made before a time?';
