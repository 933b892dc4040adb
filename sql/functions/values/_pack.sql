-- An outcome as lanes and op_ids keep it. Without a value it is one element shorter: a JSON null is a value. In SQL and
-- STABLE, so that it is inlined.
create function pgstate._pack(p_outcome pgstate.outcome) returns jsonb
language sql stable
as $$
  select case when p_outcome.value is null then pg_catalog.jsonb_build_array(p_outcome.status, p_outcome.version, p_outcome.code)
              else pg_catalog.jsonb_build_array(p_outcome.status, p_outcome.version, p_outcome.code, p_outcome.value) end
$$;
comment on function pgstate._pack(pgstate.outcome) is 'Internal: an outcome for keeping.';
