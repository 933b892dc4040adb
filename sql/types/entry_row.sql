create type pgstate.entry_row as (
  status text, key text, value jsonb, version bigint, kind text, writer text, via text,
  created_at timestamptz, updated_at timestamptz, expires_at timestamptz, priority int, not_before timestamptz, trust text
);
comment on type pgstate.entry_row is 'An entry as it is now: status ok or missing, and the entry''s columns.';
