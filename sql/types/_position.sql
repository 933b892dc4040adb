create type pgstate._position as (base pg_snapshot, upto pg_snapshot, after bigint, until bigint);
comment on type pgstate._position is 'Internal: a cursor, taken apart.';
