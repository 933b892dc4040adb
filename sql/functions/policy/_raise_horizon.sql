-- In the transaction that removes: a reader sees both or neither.
create function pgstate._raise_horizon(p_xid xid8) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  update pgstate.install i set horizon = p_xid where p_xid is not null and (i.horizon is null or i.horizon < p_xid);
end
$$;
comment on function pgstate._raise_horizon(xid8) is 'Internal: cursors that had not seen this transaction are refused from now on.';
