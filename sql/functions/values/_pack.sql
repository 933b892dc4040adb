-- An outcome as lanes and op_ids keep it: the version alone for the usual one, else status, version, code, and the value if
-- there is one (a JSON null is a value). In SQL and STABLE, so that it is inlined.
create function pgstate._pack(p_outcome pgstate.outcome) returns jsonb
language sql stable
as $$
  select case when p_outcome.value is not null then pg_catalog.jsonb_build_array(p_outcome.status, p_outcome.version, p_outcome.code, p_outcome.value)
              when p_outcome.status = 'ok' then coalesce(pg_catalog.to_jsonb(p_outcome.version), 'null')
              else pg_catalog.jsonb_build_array(p_outcome.status, p_outcome.version, p_outcome.code) end
$$;
comment on function pgstate._pack(pgstate.outcome) is 'Internal: an outcome for keeping.';
