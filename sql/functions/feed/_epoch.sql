create function pgstate._epoch() returns int
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$ begin return (select i.epoch from pgstate.install i); end $$;
comment on function pgstate._epoch() is 'Internal: the current epoch.';
