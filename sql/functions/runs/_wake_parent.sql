-- A run ends: the one that started it and waits for that is woken. Its row is locked first, see _set_down_run(), and always
-- after the entry of the one that ends.
create function pgstate._wake_parent(p_key text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_parent text := (pgstate._run_of(p_key)).parent;
begin
  if v_parent is null then
    return false;
  end if;
  perform from pgstate.run p where p.key = v_parent for no key update;
  update pgstate.run p set asleep = false, awaits = null, ready_at = pgstate._now()
   where p.key = v_parent and p.asleep and p.state = 'open' and p_key = any (p.awaits);
  return found;
end
$$;
comment on function pgstate._wake_parent(text) is 'Internal: wakes the run that waits for the end of this one; was there one?';
