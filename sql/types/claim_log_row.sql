create type pgstate.claim_log_row as (
  key text, at timestamptz, token bigint, holder text, lease_until timestamptz, attempts int, released_by text, via text
);
comment on type pgstate.claim_log_row is 'A claim that was ended by force: whose it was, until when, who ended it, through which login, and when.';
