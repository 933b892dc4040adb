-- Locks threads as saves and _collect_thread() do, the entry first, and waits for nobody: returns those that were to be had.
create function pgstate._rekey_lock(p_ids bigint[]) returns bigint[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_keys text[] := array(
    select e.key from pgstate.entry e where e.key in (select t.key from pgstate.thread t where t.id = any (p_ids)) for no key update skip locked);
begin
  return array(
    select t.id from pgstate.thread t
     where t.id = any (p_ids) and (t.key is null or t.key = any (v_keys) or not exists (select from pgstate.entry e where e.key = t.key))
       for no key update skip locked);
end
$$;
comment on function pgstate._rekey_lock(bigint[]) is 'Internal: locks threads.';
