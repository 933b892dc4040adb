-- The one clock of every decision about time (leases, expiry, not_before): tests replace it, nobody else can.
-- The clock, not the transaction's start: a lease must be checked after the lock was waited for.
-- Nothing is looked up in it: a search_path of its own would double the cost of a call, and a put makes five.
create function pgstate._now() returns timestamptz
language plpgsql stable parallel safe
as $$ begin return pg_catalog.clock_timestamp(); end $$;
comment on function pgstate._now() is 'Internal: the clock of every decision about time.';
