create type pgstate.past_row as (
  status text, key text, value jsonb, version bigint, writer text, via text, updated_at timestamptz, expires_at timestamptz, trust text
);
comment on type pgstate.past_row is 'An entry as it was: status ok or missing, and what its history keeps.';
