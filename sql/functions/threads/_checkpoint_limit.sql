-- The most bytes that are sent for a checkpoint: half of what PostgreSQL has room for in one value, since it is read with the
-- chunks that it shares with others, and in one row.
create function pgstate._checkpoint_limit() returns bigint
language sql immutable
as $$ select 536870912::bigint $$;
comment on function pgstate._checkpoint_limit() is 'Internal: the most bytes that a checkpoint has.';
