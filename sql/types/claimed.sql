create type pgstate.claimed as (
  status text, key text, value jsonb, version bigint, token bigint, lease_until timestamptz, attempts int, retry_in interval
);
comment on type pgstate.claimed is 'Outcome of a claim: status ok, held, stale or missing; token is the fencing token; retry_in says when trying again may help.';
