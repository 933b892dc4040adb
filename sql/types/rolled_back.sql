create type pgstate.rolled_back as (
  key text, status text, action text, version bigint, from_version bigint, to_version bigint, old_value jsonb, new_value jsonb,
  expires_at timestamptz, watched boolean
);
comment on type pgstate.rolled_back is 'One key of rollback(). status: ok, conflict (others wrote it too: left as it is), held, denied, refused (in a dry run: by a rule of today), or skipped because of another row. action: put, delete or none. version: the one that it made; from_version and to_version: what was there and what is brought back, 0 for nothing; the values of both; expires_at of the new one; watched as in outcome.';
