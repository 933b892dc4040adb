-- Stores a checkpoint of a thread whose entry the caller has locked, unless it may not be. Without a time (p_now) the caller
-- has not: then it is locked here, and its version, its value and the time are returned; or, if it is not there as a thread
-- without a time to live, status unlocked. Claims change only under that lock: here they are seen as they are. As the
-- owner: what is in the tables under it, no agent reaches but through functions that ask for the key first.
--
-- A chunk that the root or a page names must be sent, or be the thread's own, or be reached by the parent: a fork cannot find
-- out by a hash what else the thread that it came from holds. What was sent stays, though others are missing: the next call
-- brings those. Pages do not stay in a fork then, since a later root would reach by them what was missing. The same checkpoint saved again, as it is when a reply was lost, changes nothing: added is null then.
--
-- Order of locks: the entry, the thread, and nothing else. Chunks are removed under the entry's lock only, so what is found
-- here stays; chunks of another thread stay while a checkpoint of this one reaches them, see _collect_thread().
create function pgstate._store_checkpoint(
  p_actor pgstate._actor, p_key text, p_now timestamptz, p_token bigint, p_ns text, p_id text, p_parent text, p_names text[],
  p_versions text[], p_types text[], p_data bytea[], p_chunk_types text[], p_chunk_data bytea[], p_header bytea, p_whole boolean,
  p_metadata jsonb, p_run_id text, p_expect_head text, p_guard text[]
) returns pgstate._stored
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_now timestamptz := p_now;
  v_thread record;
  v_parent text;
  v_found boolean;
  v_missing bytea[];
  v_pages bytea[] := '{}';
  v_stores bigint[];
  v_out pgstate._stored;
  v_payer int := case when p_actor.quota then p_actor.id end;
begin
  if v_now is null then
    -- its life is told by the value: see _put_existing()
    select e.version, e.value into v_out.version, v_out.value
      from pgstate.entry e
     where e.key = p_key and e.value is not null and e.kind = 'thread' and e.expires_at is null for no key update;
    if v_out.version is null then
      v_out.status := 'unlocked';
      return v_out;
    end if;
    v_now := pgstate._now();
    v_out.at := v_now;
  end if;
  select t.id, t.bases, t.pruned, t.begun_at is not null as begun, t.begun_at, t.forked_from, l.token, l.holder_id,
         (select c.id from pgstate.checkpoint c where c.thread_id = t.id and c.ns = p_ns order by c.id desc limit 1) as head,
         exists (select from pgstate.watcher) as watching
    into v_thread
    from (select) one
    left join pgstate.thread t on t.key = p_key
    left join pgstate.claim l on l.key = p_key and l.lease_until > v_now;
  v_out.watching := v_thread.watching;
  v_parent := case when p_parent is null then v_thread.head else nullif(p_parent, '') end;
  -- one look for the usual save, which goes on where the thread is: each expression is initialised anew in every transaction
  if (v_thread.begun and v_parent = v_thread.head and coalesce(p_expect_head, v_parent) = v_parent and num_nonnulls(p_token, v_thread.token) = 0
      and (p_id collate "C" > v_parent) is not false and current_setting('transaction_isolation') = 'read committed') is not true then
    if p_parent is null and p_id collate "C" <= v_thread.head then
      -- one that is there comes after what it came after, not after itself
      select c.parent into v_parent from pgstate.checkpoint c where c.thread_id = v_thread.id and c.ns = p_ns and c.id = p_id;
      if not found then
        v_parent := v_thread.head;
      end if;
    end if;
    if p_token is not null and (v_thread.token = p_token and v_thread.holder_id = p_actor.id) is not true then
      v_out.status := 'stale';
      return v_out;
    elsif p_token is null and v_thread.token is not null and not (p_actor.policies and pgstate._claimed_writes(p_key)) then
      v_out.status := 'held';
      return v_out;
    end if;
    v_out.head := v_thread.head;
    -- but for one that is sent again
    if p_expect_head <> coalesce(v_thread.head, '') and (v_thread.head = p_id) is not true then
      v_out.status := 'conflict';
      return v_out;
    elsif v_parent is distinct from v_thread.head then
      v_found := exists (select from pgstate.checkpoint c where c.thread_id = v_thread.id and c.ns = p_ns and c.id = v_parent);
      if v_parent is not null and not v_found and (
           v_thread.pruned is not true or p_id is null and v_thread.forked_from is null and pgstate._made_before(v_parent, v_thread.begun_at)) then
        -- the thread that it belonged to was deleted, though this one in its place was pruned. (Where ids are the callers' own, their
        -- clocks made them, and a fork has checkpoints from before it was made)
        v_out.status := 'missing';
        return v_out;
      elsif p_guard is not null and exists (
              select from unnest(p_guard) g (name)
                left join pgstate.checkpoint h on h.thread_id = v_thread.id and h.ns = p_ns and h.id = v_thread.head
                left join pgstate.checkpoint b on b.thread_id = v_thread.id and b.ns = p_ns and b.id = v_parent
               where case when h.versions[array_position(h.names, g.name)] is not null
                          then h.versions[array_position(h.names, g.name)] is distinct from b.versions[array_position(b.names, g.name)]
                          else (h.types[array_position(h.names, g.name)], h.data[array_position(h.names, g.name)])
                               is distinct from (b.types[array_position(b.names, g.name)], b.data[array_position(b.names, g.name)]) end) then
        v_out.status := 'conflict';
        return v_out;
      end if;
    end if;
    if v_thread.begun is not true then
      -- until all of it is there, it is one of those that hold writes only
      insert into pgstate.thread as t (key, collect_at) values (p_key, v_now + interval '1 hour')
          on conflict on constraint thread_key_key do update set collect_at = excluded.collect_at
      returning t.id, t.bases into v_thread.id, v_thread.bases;
    elsif current_setting('transaction_isolation') <> 'read committed' then
      -- a chunk that was collected since the snapshot looks as if it were there: a serialization failure
      perform from pgstate.thread t where t.id = v_thread.id for no key update;
    end if;
  end if;
  -- of an array's binary form, 20 bytes and 4 an element are not its elements'. (Adding them up is a query: 15 us)
  v_out.bytes := coalesce(octet_length(p_header), 0) + greatest(octet_length(array_send(p_data)) - 20 - 4 * cardinality(p_data), 0);
  if p_chunk_data is not null then
    v_out.bytes := v_out.bytes + greatest(octet_length(array_send(p_chunk_data)) - 20 - 4 * cardinality(p_chunk_data), 0);
  end if;
  if v_out.bytes > pgstate._checkpoint_limit() then
    v_out.status := 'large';
    return v_out;
  end if;
  v_out.id := coalesce(p_id, pgstate._checkpoint_id(v_thread.head));
  if v_out.id is null then
    v_out.status := 'unnamed';
    return v_out;
  end if;

  if p_chunk_data is not null then
    if v_thread.bases <> '{}' then
      v_pages := array(
        select substr(sha256(convert_to(c.type, 'UTF8') || E'\\x00'::bytea || c.data), 1, 16)
          from unnest(p_chunk_types, p_chunk_data) c (type, data) where c.type ^@ '#');
    end if;
    insert into pgstate.chunk (thread_id, hash, type, data, agent_id)
    select v_thread.id, substr(sha256(convert_to(c.type, 'UTF8') || E'\\x00'::bytea || c.data), 1, 16), c.type, c.data, v_payer
      from unnest(p_chunk_types, p_chunk_data) c (type, data)
     where v_pages = '{}' or not c.type ^@ '#'
        on conflict on constraint chunk_pkey do nothing;
  end if;
  if p_chunk_data is not null or translate(array_to_string(p_types, ''), '@#', '') <> array_to_string(p_types, '') then
    v_missing := array(
      select distinct r.hash
        from (select pgstate._refs(p_types, p_data) union all select pgstate._refs(p_chunk_types, p_chunk_data)) r (hash)
       -- not as a join, of which the planner may make one that goes through all chunks of the thread
       where (select true from pgstate.chunk k where k.thread_id = v_thread.id and k.hash = r.hash) is null and r.hash <> all (v_pages));
    if cardinality(v_missing) > 0 and v_thread.bases <> '{}' then
      v_stores := v_thread.bases || v_thread.id;
      with recursive reached (hash) as (
        select pgstate._refs(c.types, c.data)
          from pgstate.checkpoint c where c.thread_id = v_thread.id and c.ns = p_ns and c.id = v_parent
        union
        select pgstate._refs(array[k.type], array[k.data])
          from reached r
          cross join lateral (select x.* from pgstate.chunk x where x.thread_id = any (v_stores) and x.hash = r.hash offset 0) k
         -- a page that is named as it is need not be opened
         where k.type ^@ '#' and r.hash <> all (v_missing)
      )
      select array_agg(m) into v_missing from unnest(v_missing) m where m not in (select r.hash from reached r);
    end if;
    if cardinality(v_missing) > 0 then
      v_out.status := 'incomplete';
      v_out.missing := v_missing || v_pages;
      if v_payer is not null then
        perform pgstate._charge(1, pg_column_size(p_chunk_data) + pg_column_size(p_chunk_types), v_thread.id);
      end if;
      return v_out;
    elsif v_pages <> '{}' then
      insert into pgstate.chunk (thread_id, hash, type, data, agent_id)
      select v_thread.id, substr(sha256(convert_to(c.type, 'UTF8') || E'\\x00'::bytea || c.data), 1, 16), c.type, c.data, v_payer
        from unnest(p_chunk_types, p_chunk_data) c (type, data)
       where c.type ^@ '#'
          on conflict on constraint chunk_pkey do nothing;
    end if;
  end if;

  insert into pgstate.checkpoint as c (thread_id, ns, id, parent, names, versions, types, data, header, whole, metadata, run_id, size,
                                       created_at, writer, via, agent_id)
  values (v_thread.id, p_ns, v_out.id, v_parent, p_names, p_versions, p_types, p_data, p_header, p_whole, p_metadata,
          coalesce(p_run_id, p_metadata ->> 'run_id'), v_out.bytes, v_now, p_actor.name, session_user, v_payer)
      on conflict on constraint checkpoint_pkey do nothing;
  if found then
    v_out.added := 1;
  else
    update pgstate.checkpoint c
       set parent = v_parent, names = p_names, versions = p_versions, types = p_types, data = p_data, header = p_header, whole = p_whole,
           metadata = p_metadata, run_id = coalesce(p_run_id, p_metadata ->> 'run_id'), size = c.size + v_out.bytes, created_at = v_now,
           writer = p_actor.name, via = session_user, agent_id = v_payer
     where c.thread_id = v_thread.id and c.ns = p_ns and c.id = v_out.id
       and (c.parent, c.names, c.versions, c.types, c.data, c.header, c.whole, c.metadata, c.run_id)
           is distinct from (v_parent, p_names, p_versions, p_types, p_data, p_header, p_whole, p_metadata, coalesce(p_run_id, p_metadata ->> 'run_id'))
    returning 0 into v_out.added;
  end if;
  if v_thread.begun is not true then
    update pgstate.thread t set begun_at = v_now, collect_at = null where t.id = v_thread.id;
  end if;
  v_out.head := greatest(v_thread.head collate "C", v_out.id);
  if v_payer is not null then
    -- one that was there already makes no version, which would count as a write
    perform pgstate._charge(
      case when v_out.added is null then 1 else 0 end,
      pg_column_size(p_names) + pg_column_size(p_types) + pg_column_size(p_data)::bigint + coalesce(pg_column_size(p_versions), 0)
        + coalesce(pg_column_size(p_header), 0) + coalesce(pg_column_size(p_metadata), 0)
        + coalesce(pg_column_size(p_chunk_data) + pg_column_size(p_chunk_types), 0), v_thread.id);
  end if;
  return v_out;
end
$$;
comment on function pgstate._store_checkpoint(pgstate._actor, text, timestamptz, bigint, text, text, text, text[], text[], text[], bytea[], text[], bytea[], bytea, boolean, jsonb, text, text, text[]) is
  'Internal: stores a checkpoint.';
