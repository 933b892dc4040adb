create type pgstate._removed as (removed bigint, value jsonb);
comment on type pgstate._removed is 'Internal: how many checkpoints were removed, and what the entry of the thread says since.';
