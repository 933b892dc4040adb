create type pgstate.quota_row as (
  agent text, entries bigint, bytes bigint, writes_per_minute int, used_entries bigint, used_bytes bigint, used_writes bigint, set_by text, set_at timestamptz
);
comment on type pgstate.quota_row is 'The quota of an agent, and what it has used.';
