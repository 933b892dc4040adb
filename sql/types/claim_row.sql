create type pgstate.claim_row as (
  key text, holder text, lease_until timestamptz, lease_left interval, attempts int, claimed_at timestamptz
);
comment on type pgstate.claim_row is 'A claim that somebody holds, as anybody may see it who may read the entry: without its token.';
