create type pgstate.entry_item as (
  ord int, status text, key text, value jsonb, version bigint, kind text, writer text, via text,
  created_at timestamptz, updated_at timestamptz, expires_at timestamptz, priority int, not_before timestamptz,
  code text, message text, trust text
);
comment on type pgstate.entry_item is 'One row of get_many(): ord counts from 1 in the order of the input, code and message are set for a refused key.';
