create type pgstate.version_row as (
  key text, version bigint, op text, value jsonb, writer text, via text, at timestamptz, expires_at timestamptz, created boolean, trust text
);
comment on type pgstate.version_row is 'One version of a key: op is put, merge, delete, complete or expire; created says that the key did not exist before it.';
