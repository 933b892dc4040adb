create type pgstate._stored as (status text, id text, head text, missing bytea[], added int, bytes bigint, watching boolean, version bigint, value jsonb, at timestamptz);
comment on type pgstate._stored is 'Internal: what became of a checkpoint that was to be stored, and of its entry, if that was locked with it.';
