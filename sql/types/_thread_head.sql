create type pgstate._thread_head as (status text, version bigint, value jsonb, live boolean, at timestamptz);
comment on type pgstate._thread_head is 'Internal: a thread''s entry, locked; status is null when it may be written.';
