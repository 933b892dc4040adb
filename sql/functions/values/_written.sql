create function pgstate._written(p_outcome pgstate.outcome, p_key text) returns pgstate.written
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_outcome.code is not null then
    perform pgstate._raise(p_outcome.code, p_key, p_outcome.message);
  end if;
  return row(p_outcome.status, p_outcome.version, p_outcome.value)::pgstate.written;
end
$$;
comment on function pgstate._written(pgstate.outcome, text) is 'Internal: what a single call returns, or raises when it was refused.';
