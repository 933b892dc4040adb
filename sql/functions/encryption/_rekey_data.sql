-- Puts payloads that were sealed anew in the place of those that they were made of, where these are still the same. Waits for no lock:
-- what others have locked is left for the next time. Of rows with several payloads all must fit.
--
-- A chunk is named by the hash of its bytes: the new one is put beside it, and the old one says which it is. _rekey_refs() brings pages and
-- roots to the new ones, and _collect_thread() removes the old ones when nothing names them any more; until then it keeps both.
create function pgstate._rekey_data(p_actor pgstate._actor, p_part text, p_places text[], p_fields int[], p_digests bytea[], p_data bytea[]) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off
as $$
declare
  v_places tid[];
  v_threads bigint[];
  v_count bigint;
begin
  perform pgstate._sealed_blocks(p_actor, p_part, 0, 1);
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = 'PS007', message = 'payloads are replaced under READ COMMITTED only';
  elsif coalesce(array_ndims(p_places), 1) <> 1 or array_position(p_data, null) is not null
     or (cardinality(p_places) = all (array[cardinality(p_fields), cardinality(p_digests), cardinality(p_data)])) is not true
     or exists (select from unnest(p_places) p where (p ~ E'^\\([0-9]{1,10},[0-9]{1,5}\\)$') is not true) then
    raise exception using errcode = 'PS007', message = 'places are those that sealed_data() returned, and the arrays must be of equal length';
  end if;
  v_places := array(select distinct p::tid from unnest(p_places) p);
  if p_part in ('chunk', 'checkpoint', 'header') then
    v_threads := pgstate._rekey_lock(array(
      select k.thread_id from pgstate.chunk k where p_part = 'chunk' and k.ctid = any (v_places)
      union select c.thread_id from pgstate.checkpoint c where p_part <> 'chunk' and c.ctid = any (v_places)));
  end if;
  v_places := case p_part
    when 'chunk' then array(select k.ctid from pgstate.chunk k where k.ctid = any (v_places) and k.thread_id = any (v_threads) for no key update skip locked)
    when 'pending_write' then array(select w.ctid from pgstate.pending_write w where w.ctid = any (v_places) for no key update skip locked)
    when 'step' then array(select s.ctid from pgstate.step s where s.ctid = any (v_places) for no key update skip locked)
    when 'signal' then array(select g.ctid from pgstate.signal g where g.ctid = any (v_places) for no key update skip locked)
    when 'input' then array(select r.ctid from pgstate.run r where r.ctid = any (v_places) for no key update skip locked)
    when 'result' then array(select r.ctid from pgstate.run r where r.ctid = any (v_places) for no key update skip locked)
    else array(select c.ctid from pgstate.checkpoint c where c.ctid = any (v_places) and c.thread_id = any (v_threads) for no key update skip locked) end;
  -- nobody changes them now: those that are still what was sealed anew
  v_places := array(
    select g.place::tid
      from unnest(p_places, p_fields, p_digests) g (place, field, digest)
      left join (select * from pgstate._sealed x where x.part = p_part and x.place = any (v_places)) s on s.place = g.place::tid and s.field = g.field
     group by 1 having bool_and(sha256(s.data) is not distinct from g.digest));

  if p_part = 'chunk' then
    with given as materialized (
      select k.thread_id, k.hash as old, k.type, k.agent_id, g.data, substr(sha256(convert_to(k.type, 'UTF8') || E'\\x00'::bytea || g.data), 1, 16) as hash
        from unnest(p_places, p_data) g (place, data) join pgstate.chunk k on k.ctid = g.place::tid
       where k.ctid = any (v_places)
    ), added as (
      -- one that was to be moved here itself stays
      insert into pgstate.chunk as k (thread_id, hash, type, data, agent_id)
      select distinct on (g.thread_id, g.hash) g.thread_id, g.hash, g.type, g.data, g.agent_id from given g where g.hash <> g.old
          on conflict on constraint chunk_pkey do update set moved_to = null where k.moved_to is not null
    )
    update pgstate.chunk k set moved_to = g.hash from given g where k.thread_id = g.thread_id and k.hash = g.old and g.hash <> g.old;
    get diagnostics v_count = row_count;
    perform pgstate._rekey_garbage(v_threads);
    return v_count;
  elsif p_part = 'checkpoint' then
    with given as materialized (select g.place::tid as place, g.field, g.data from unnest(p_places, p_fields, p_data) g (place, field, data))
    update pgstate.checkpoint c
       set data = array(select coalesce(g.data, u.data)
                          from unnest(c.data) with ordinality u (data, ord) left join given g on g.place = c.ctid and g.field = u.ord order by u.ord)
     where c.ctid = any (v_places);
  elsif p_part = 'header' then
    update pgstate.checkpoint c set header = substr(c.header, 1, 7) || g.data from unnest(p_places, p_data) g (place, data)
     where c.ctid = g.place::tid and c.ctid = any (v_places);
  elsif p_part = 'pending_write' then
    update pgstate.pending_write w set data = g.data from unnest(p_places, p_data) g (place, data) where w.ctid = g.place::tid and w.ctid = any (v_places);
  elsif p_part = 'input' then
    update pgstate.run r set input = g.data from unnest(p_places, p_data) g (place, data) where r.ctid = g.place::tid and r.ctid = any (v_places);
  elsif p_part = 'result' then
    update pgstate.run r set result = g.data from unnest(p_places, p_data) g (place, data) where r.ctid = g.place::tid and r.ctid = any (v_places);
  elsif p_part = 'step' then
    update pgstate.step s set data = g.data from unnest(p_places, p_data) g (place, data) where s.ctid = g.place::tid and s.ctid = any (v_places);
  else
    update pgstate.signal s set data = g.data from unnest(p_places, p_data) g (place, data) where s.ctid = g.place::tid and s.ctid = any (v_places);
  end if;
  return (select count(*) from unnest(p_places) g where g::tid = any (v_places));
end
$$;
comment on function pgstate._rekey_data(pgstate._actor, text, text[], int[], bytea[], bytea[]) is 'Internal: replaces payloads. PS007 PS010.';
