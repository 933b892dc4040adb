-- Vectors that a writer gave along with its values, in its transaction: p_owners tells for each of them which key it is of. Only
-- those of the version that the entry is at, so that a statement that is sent again changes nothing. One that is there already stays
-- in its place: a new one costs the index as much as the rest of the write. The others of these versions go, of which there may be
-- none: p_versions has what was written, p_puts where a value was.
create function pgstate._keep_vectors(
  p_actor pgstate._actor, p_keys text[], p_versions bigint[], p_puts boolean[], p_owners int[], p_vectors real[], p_model text
) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_denied boolean;
  v_elsewhere text;
  -- rows of p_vectors that are stored, and where: one statement for all, since each opens the indexes anew
  v_places bigint[];
  v_keys text[];
  v_ids int[];
  v_chunks bigint[];
  v_before bigint;
begin
  select bool_or((p_actor.reads @> k.key and p_actor.writes @> k.key) is not true), min(k.key) filter (where i.id is null),
         array_agg(k.place) filter (where e.there), array_agg(k.key) filter (where e.there), array_agg(i.id) filter (where e.there), array_agg(k.chunk) filter (where e.there)
    into v_denied, v_elsewhere, v_places, v_keys, v_ids, v_chunks
    from (select p_keys[o.owner] as key, p_versions[o.owner] as version, o.place, row_number() over (partition by o.owner order by o.place) - 1 as chunk
            from unnest(p_owners) with ordinality as o (owner, place)
           where p_puts[o.owner] and p_versions[o.owner] is not null) k
    -- not exists(), for which the planner may look at all entries
    left join lateral (select true as there from pgstate.entry x where x.key = k.key and x.version = k.version and x.value is not null offset 0) e on true
    left join lateral (
      select v.id
        from (select r.vectors, r.vector_fields from pgstate.search_rule r where r.subtree = any (pgstate._subtrees_of(k.key)) order by r.nearness desc limit 1) n
        join pgstate.vector_index v on v.name = n.vectors and n.vector_fields = '{}') i on true;
  if v_denied then
    perform pgstate._deny();
  elsif v_elsewhere is not null then
    raise exception using errcode = 'PS007', message = format('no vectors are given by writers of %s', v_elsewhere),
      hint = 'set_search(subtree, vectors => name, vector_fields => ''{}'') leaves it to them.';
  end if;
  if p_actor.quota then
    -- what was its own there. (Not as joins, for which the planner may look at all versions)
    v_before := (
      select coalesce(sum(pg_column_size(m.vector)), 0)
        from (select distinct k from unnest(v_keys) k) w (key)
        cross join lateral (select x.version from pgstate.entry x where x.key = w.key offset 0) e
        cross join lateral (select from pgstate.version x where x.key = w.key and x.version = e.version - 1 and x.writer = p_actor.name offset 0) b
        cross join lateral (select x.vector from pgstate.embedding x where x.key = w.key and x.digest = '' offset 0) m);
  end if;
  -- most have none, and to set deleting up costs more than to look
  if exists (select from pgstate.embedding m
              where m.key = any (p_keys)
                and not exists (select from unnest(v_keys, v_ids, v_chunks) as u (key, id, chunk) where u.key = m.key and u.id = m.index_id and u.chunk = m.chunk)) then
    delete from pgstate.embedding m
     where m.key = any (p_keys)
       and not exists (select from unnest(v_keys, v_ids, v_chunks) as u (key, id, chunk) where u.key = m.key and u.id = m.index_id and u.chunk = m.chunk)
       and exists (
         select from pgstate.entry e
          where e.key = m.key and (e.value is null or exists (
            select from unnest(p_keys, p_versions) as w (key, version)
             where w.key = e.key
               and (w.version = e.version
                    -- whose writer is not told which it is: what this transaction has written
                    or w.version = 0 and (select n.xid from pgstate.version n where n.key = e.key and n.version = e.version) = pg_current_xact_id_if_assigned()))));
  end if;
  if v_keys is not null then
    insert into pgstate.embedding as m (key, index_id, chunk, digest, vector)
    select u.key, u.id, u.chunk, '', pgstate._checked_vector(v, p_model, array(select unnest(p_vectors[u.place:u.place])))
      from unnest(v_places, v_keys, v_ids, v_chunks) as u (place, key, id, chunk) join pgstate.vector_index v on v.id = u.id
        on conflict on constraint embedding_pkey do update
       set digest = excluded.digest, vector = excluded.vector
     where (m.digest, m.vector) is distinct from (excluded.digest, excluded.vector);
    if p_actor.quota then
      perform pgstate._charge(0, cardinality(v_places)::bigint * pg_column_size(array(select unnest(p_vectors[v_places[1]:v_places[1]]))) - v_before);
    end if;
  end if;
end
$$;
comment on function pgstate._keep_vectors(pgstate._actor, text[], bigint[], boolean[], int[], real[], text) is 'Internal: vectors of what was just written.';
