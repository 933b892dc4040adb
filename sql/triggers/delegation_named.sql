-- A function of the revision before that was under way when this came knows no such column. What it adds takes the long way until the
-- reach is folded anew.
create function pgstate._on_delegation() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  new.agent_name := (select a.name from pgstate.agent a where a.id = new.agent_id);
  return new;
end
$$;
comment on function pgstate._on_delegation() is 'Internal: has a delegation name its agent.';

create trigger delegation_named before insert on pgstate.delegation for each row when (new.agent_name is null) execute function pgstate._on_delegation();
