-- Removes what a thread does not need any more: all that it held when it is gone, else the chunks that no checkpoint reaches,
-- of its own or of a fork. At most p_limit rows of a kind; is there more to do? To know what is reached takes a look at all
-- checkpoints, some 0.06 ms each: of more than p_most that is left to maintain().
--
-- Nothing that a save under way refers to is lost. Its own thread's entry it has locked, so this is not at work there. Of the
-- thread that it was forked from it refers only to what its parent checkpoint reaches, which was there for this to see, or
-- what a fork has begun with: and a fork keeps the thread that it is made from locked until it is there to be seen. Under
-- REPEATABLE READ a fork might be missed: then this is left to others. Nobody waits for this, and this waits for nobody.
create function pgstate._collect_thread(p_id bigint, p_limit int, p_most int default null) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_memoize = off set gin_fuzzy_search_limit = 0
as $$
declare
  v_key text := (select t.key from pgstate.thread t where t.id = p_id);
  v_thread pgstate.thread;
  v_forks bigint[];
  v_stores bigint[];
  v_count int;
  v_told int;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return false;
  elsif v_key is not null then
    perform from pgstate.entry e where e.key = v_key for no key update skip locked;
    if not found and exists (select from pgstate.entry e where e.key = v_key) then
      return false;
    end if;
  end if;
  select t.* into v_thread from pgstate.thread t where t.id = p_id and t.key is not distinct from v_key for update skip locked;
  if not found or v_thread.collect_at is null or v_thread.collect_at > pgstate._now() then
    return false;
  elsif v_key is not null and v_thread.begun_at is null then
    -- nobody has begun what these writes were for
    update pgstate.thread t set key = null where t.id = p_id;
    v_key := null;
  end if;

  -- as the index has it, and whole: who calls may have set a limit to what it finds
  v_forks := array(select t.id from pgstate.thread t where t.bases @> array[p_id] and t.bases <> '{}');
  if v_key is null then
    delete from pgstate.pending_write w
     where w.ctid = any (array(select x.ctid from pgstate.pending_write x where x.thread_id = p_id limit p_limit));
    get diagnostics v_count = row_count;
    if v_count < p_limit then
      delete from pgstate.checkpoint c
       where c.ctid = any (array(select x.ctid from pgstate.checkpoint x where x.thread_id = p_id limit p_limit));
      get diagnostics v_count = row_count;
    end if;
    if v_count < p_limit and v_forks = '{}' then
      delete from pgstate.chunk c
       where c.ctid = any (array(select x.ctid from pgstate.chunk x where x.thread_id = p_id limit p_limit));
      get diagnostics v_count = row_count;
    end if;
    if v_count >= p_limit then
      return true;
    end if;
  end if;
  if v_key is not null or v_forks <> '{}' then
    if p_most < (select count(*) from (select from pgstate.checkpoint c where c.thread_id = any (v_forks || p_id) limit p_most + 1) c) then
      return true;
    end if;
    v_stores := array(select distinct s from pgstate.thread t cross join unnest(t.bases || t.id) s where t.id = any (v_forks || p_id));
    with recursive reached (hash) as (
      select pgstate._refs(c.types, c.data) from pgstate.checkpoint c where c.thread_id = any (v_forks || p_id)
      union
      select n.hash
        from reached r
        cross join lateral (select x.* from pgstate.chunk x where x.thread_id = any (v_stores) and x.hash = r.hash offset 0) k
        -- and what takes its place: see _rekey_data()
        cross join lateral (
          select pgstate._refs(array[k.type], array[k.data]) where k.type ^@ '#' union all select k.moved_to where k.moved_to is not null) n (hash)
    )
    delete from pgstate.chunk c
     where c.ctid = any (array(
       -- NOT IN is answered by going through all that is reached, for each. Pages before what they name: one that is there is
       -- complete, since a save asks no more of it
       select x.ctid from pgstate.chunk x where x.thread_id = p_id and not exists (select from reached r where r.hash = x.hash)
        order by case when x.type ^@ '#' then x.type else '' end desc limit p_limit));
    get diagnostics v_count = row_count;
    if v_count >= p_limit then
      return true;
    end if;
  end if;

  if v_thread.bases <> '{}' then
    -- what only this one reached there
    update pgstate.thread t set collect_at = pgstate._now()
     where t.id in (select b.id from pgstate.thread b where b.id = any (v_thread.bases) for update skip locked);
    get diagnostics v_told = row_count;
    if v_told < (select count(*) from pgstate.thread b where b.id = any (v_thread.bases)) then
      return false;
    end if;
  end if;
  if v_key is null and v_forks = '{}' then
    delete from pgstate.thread t where t.id = p_id;
  else
    update pgstate.thread t set collect_at = null where t.id = p_id;
  end if;
  return false;
end
$$;
comment on function pgstate._collect_thread(bigint, int, int) is 'Internal: removes what a thread does not need any more.';
