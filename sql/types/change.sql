create type pgstate.change as (
  agent text, key text, version bigint, op text, value jsonb, previous jsonb, created boolean, writer text, via text,
  at timestamptz, expires_at timestamptz, cursor text, whole boolean, trust text
);
comment on type pgstate.change is 'One change of the feed, or the bookmark that ends every page (op bookmark, key null). cursor: where to go on after this row. whole: no transaction is split at this point.';
