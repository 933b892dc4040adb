-- A run whose entry is locked sleeps, unless what it waits for has come meanwhile. Signals come under the lock of the entry. The
-- end of a child does not: so the row is locked before this looks, as _wake_parent() does, and either this sees that the child
-- has ended, or the child finds this one asleep.
create function pgstate._set_down_run(p_key text, p_for interval, p_awaits text[]) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_run pgstate.run;
begin
  select r.* into v_run from pgstate.run r where r.key = p_key for no key update;
  if v_run.cancel_at is not null
     or exists (select from pgstate.step s join pgstate.signal g on g.run_id = s.run_id and g.name = s.name
                 where s.run_id = v_run.id and s.kind = 'signal' and s.state = 'pending' and g.taken_by is null)
     or exists (select from unnest(p_awaits) a (key) where not exists (select from pgstate.run c where c.key = a.key and c.state = 'open')) then
    return false;
  end if;
  update pgstate.run r set asleep = true, ready_at = least(pgstate._now() + p_for, r.deadline), awaits = nullif(p_awaits, '{}') where r.id = v_run.id;
  return true;
end
$$;
comment on function pgstate._set_down_run(text, interval, text[]) is 'Internal: a run sleeps; false when it has no reason to.';
