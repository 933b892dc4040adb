create type pgstate._window as (upto pg_snapshot, start bigint);
comment on type pgstate._window is 'Internal: how far a page of the feed reads, and where it starts.';
