-- Delegations keep what their agents reach. By a trigger: whatever changes the reach, a function of the revision before too that
-- was under way when this came, leaves none behind.
create function pgstate._on_reach() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
begin
  update pgstate.delegation d
     set reads = new.reads, writes = new.writes, touches = new.touches, folded_until = new.folded_until, quota = new.quota, trust = new.trust
   where d.agent_name = (select a.name from pgstate.agent a where a.id = new.agent_id)
     -- a gateway more writes no other's row
     and (d.reads, d.writes, d.touches, d.folded_until, d.quota, d.trust)
         is distinct from (new.reads, new.writes, new.touches, new.folded_until, new.quota, new.trust);
  return null;
end
$$;
comment on function pgstate._on_reach() is 'Internal: copies what an agent reaches to its delegations.';

create trigger reach_delegated after insert or update on pgstate.reach for each row execute function pgstate._on_reach();
