create type pgstate._feed_row as (
  key text, version bigint, seq bigint, xid xid8, op text, created boolean, value jsonb, reducer text, writer text, via text,
  at timestamptz, expires_at timestamptz, trust pgstate.trust
);
comment on type pgstate._feed_row is 'Internal: a change on a page of the feed; value null when it is read later.';
