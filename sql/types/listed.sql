create type pgstate.listed as (
  key text, value jsonb, version bigint, kind text, writer text, via text,
  created_at timestamptz, updated_at timestamptz, expires_at timestamptz, priority int, not_before timestamptz, cursor text, trust text
);
comment on type pgstate.listed is 'One row of list(): an entry, and the cursor of the statement that listed it.';
