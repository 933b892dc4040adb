create type pgstate._paged as (
  key text, version bigint, xid xid8, seq bigint, op text, created boolean, value jsonb, previous jsonb, writer text, via text,
  at timestamptz, expires_at timestamptz
);
comment on type pgstate._paged is 'Internal: one change of a page, with the value before.';
