-- Start of every writing function. Two things must hold before a version row is written: its xid belongs to the epoch that
-- it is stamped with, and its commit is flushed before it is visible (cursors are clipped to the highest visible xid,
-- which a crash must not be able to hand out again).
create function pgstate._enter_write(p_agent text) returns pgstate._actor
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(p_agent);
begin
  if v_actor.identity <> current_setting('pgstate.identity', true) is not false then
    perform pgstate._settle_identity();
    v_actor := pgstate._enter(p_agent);
  end if;
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;
  return v_actor;
end
$$;
comment on function pgstate._enter_write(text) is 'Internal: _enter for writers; settles the epoch and synchronous_commit.';
