create type pgstate.policy_row as (
  subtree text, reducer text, ttl interval, keep text, value_limit int, schema jsonb, set_by text, set_at timestamptz,
  max_attempts int, backoff interval, backoff_limit interval, dead_letter text, claimed_writes boolean, guard text, trust text
);
comment on type pgstate.policy_row is 'A policy: what it sets for a key or subtree, null what it does not; ttl 0 is none.';
