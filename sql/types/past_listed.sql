create type pgstate.past_listed as (
  key text, value jsonb, version bigint, writer text, via text, updated_at timestamptz, expires_at timestamptz, cursor text, trust text
);
comment on type pgstate.past_listed is 'One row of list_as_of(): an entry as it was, and the point of the feed that this was at.';
