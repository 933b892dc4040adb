-- An id for a checkpoint whose caller has none: a UUID of version 6 (RFC 9562), whose text is in the order of time, above
-- the one given, though clocks may go back. Null where that is none of these, and no time can be told to lie above it.
create function pgstate._checkpoint_id(p_after text) returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  -- in 100 ns since 1582-10-15
  v_ticks bigint := (extract(epoch from pgstate._now()) * 1000000)::bigint * 10 + 122192928000000000;
  v_hex text;
begin
  if p_after collate "C" >= left(to_hex(v_ticks), 8) then
    if p_after !~ '^[0-9a-f]{8}-[0-9a-f]{4}-6[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$' then
      return null;
    end if;
    v_ticks := greatest(v_ticks, ('x0' || left(p_after, 8) || substr(p_after, 10, 4) || substr(p_after, 16, 3))::bit(64)::bigint + 1);
    if v_ticks >> 60 > 0 then
      return null;
    end if;
  end if;
  v_hex := lpad(to_hex(v_ticks), 15, '0');
  return left(v_hex, 8) || '-' || substr(v_hex, 9, 4) || '-6' || right(v_hex, 3) || right(gen_random_uuid()::text, 18);
end
$$;
comment on function pgstate._checkpoint_id(text) is 'Internal: an id for a checkpoint, above another.';
