-- The one clock of every decision about time (leases, expiry, not_before): tests replace it, nobody else can.
-- The clock, not the transaction's start: a lease must be checked after the lock was waited for.
create function pgstate._now() returns timestamptz
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp
as $$ begin return pg_catalog.clock_timestamp(); end $$;
comment on function pgstate._now() is 'Internal: the clock of every decision about time.';
