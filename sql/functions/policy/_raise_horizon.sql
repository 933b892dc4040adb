-- In the transaction that removes: a reader sees both or neither. A past before a restore has its horizon too: cursors of
-- then are refused anyway, times are not.
create function pgstate._raise_horizon(p_epoch int, p_xid xid8) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  update pgstate.install i set horizon_epoch = p_epoch, horizon = p_xid
   where p_xid is not null
     and (i.horizon is null or i.horizon_epoch < p_epoch or i.horizon_epoch = p_epoch and i.horizon < p_xid);
end
$$;
comment on function pgstate._raise_horizon(int, xid8) is 'Internal: cursors that had not seen this transaction are refused from now on.';
