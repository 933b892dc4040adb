-- The opposite of _pack(). watched is true, which costs a wake-up at most: whether somebody watched was not kept.
create function pgstate._unpack(p_ord int, p_item jsonb, p_key text) returns pgstate.outcome
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(p_item) <> 'array' then
    return row(p_ord, 'ok', (p_item #>> '{}')::bigint, null, null, null, true)::pgstate.outcome;
  end if;
  return row(p_ord, p_item ->> 0, (p_item ->> 1)::bigint, p_item -> 3, p_item ->> 2, pgstate._error_text(p_item ->> 2, p_key), true)::pgstate.outcome;
end
$$;
comment on function pgstate._unpack(int, jsonb, text) is 'Internal: an outcome that was kept.';
