-- After a restore into another cluster or database the rows of before are old: a new epoch begins. Checked once per
-- session: pg_control_system() reads a file.
create function pgstate._settle_identity() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_identity text := pgstate._identity();
begin
  update pgstate.install i set identity = v_identity, epoch = i.epoch + 1, horizon = null where i.identity <> v_identity;
  perform set_config('pgstate.identity', v_identity, false);
end
$$;
comment on function pgstate._settle_identity() is 'Internal: begins a new epoch when this database was restored elsewhere.';
