create type pgstate._moment as (epoch int, base pg_snapshot, upto pg_snapshot, after bigint, seq bigint, at timestamptz);
comment on type pgstate._moment is 'Internal: a past state. What its versions are: those visible in base, those visible in upto up to seq after, and all of older epochs. seq: about where it ends, for searching; at: when it was, for telling what had expired.';
