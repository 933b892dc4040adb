-- Claims for keeping with a lane or an op_id: everything but the values, which their entries have.
create function pgstate._keep_claims(p_claims pgstate.claimed[]) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return (select jsonb_agg(jsonb_build_array(c.status, c.key, c.version, c.token, c.lease_until, c.attempts, c.retry_in) order by c.ordinality)
            from unnest(p_claims) with ordinality c);
end
$$;
comment on function pgstate._keep_claims(pgstate.claimed[]) is 'Internal: outcomes of claims for keeping.';
