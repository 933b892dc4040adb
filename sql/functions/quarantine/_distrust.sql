-- What keys hold by an agent's writes, of which p_versions are the last, is trusted as what came from outside: a version with the same
-- value and that trust. Whose value somebody else has put anew since is not the agent's any more. Null versions where it is only shown.
create function pgstate._distrust(p_actor pgstate._actor, p_agent text, p_keys text[], p_versions bigint[], p_dry_run boolean)
returns table (key text, status text, version bigint, trust text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
as $$
declare
  v_key text;
  v_entry record;
  v_now timestamptz;
begin
  for v_key in
    select w.key
      from unnest(p_keys, p_versions) as w (key, version)
     where w.version >= coalesce((select max(v.version) from pgstate.version v
                                   where v.key = w.key and (v.op = 'put' and v.reducer is null or v.created) and v.writer <> p_agent), 0)
     order by w.key collate "C"
  loop
    -- one that a transaction keeps locked is told: the agent must not be able to hold this up
    select e.version, e.trust, e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now()) as live into v_entry
      from pgstate.entry e where e.key = v_key for no key update skip locked;
    v_now := pgstate._now();
    if found and (v_entry.live is not true or v_entry.trust = 'external') then
      continue;
    end if;
    key := v_key;
    version := v_entry.version;
    trust := v_entry.trust;
    status := case when v_entry.version is null then 'locked'
                   when exists (select from pgstate.claim c where c.key = v_key and c.lease_until > v_now) then 'held'
                   when p_dry_run then 'to do' else 'ok' end;
    if status = 'ok' then
      version := pgstate._write_trust(p_actor, v_key, 'external', jsonb_build_object(
        'quarantined', v_entry.version, 'quarantined_by', p_actor.name, 'writer', p_agent, 'from', v_entry.trust), v_now);
    end if;
    return next;
  end loop;
end
$$;
comment on function pgstate._distrust(pgstate._actor, text, text[], bigint[], boolean) is 'Internal: lowers the trust of what an agent wrote.';
