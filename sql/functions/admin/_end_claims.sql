-- What an agent holds is given back; the keys of that. It must not be able to hold that up: a claim that a transaction keeps
-- locked, or takes that began before, is given back when somebody asks again.
create function pgstate._end_claims(p_agent_id int, p_name text) returns text[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set lock_timeout = '1s'
as $$
declare
  v_keys text[];
begin
  begin
    -- in the order of keys, as everybody locks claims
    perform from pgstate.claim c where c.holder = p_name order by c.key for update;
  exception when lock_not_available then
    null;
  end;
  v_keys := array(
    select c.key from pgstate.claim c
     where c.holder = p_name and (c.holder_id = p_agent_id or not exists (select from pgstate.agent a where a.id = c.holder_id))
     order by c.key for update skip locked);
  update pgstate.claim c set lease_until = '-infinity', holder = null, holder_id = null where c.key = any (v_keys);
  if v_keys <> '{}' then
    -- no version tells of it, and somebody may be waiting for these entries
    perform pgstate._wake(v_keys);
  end if;
  return v_keys;
end
$$;
comment on function pgstate._end_claims(int, text) is 'Internal: ends the claims of an agent.';
