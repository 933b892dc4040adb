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
  v_key record;
  v_rule pgstate.search_rule;
  v_index pgstate.vector_index;
  -- rows of p_vectors that are stored, and where: one statement for all, since each opens the indexes anew
  v_places bigint[] := '{}';
  v_keys text[] := '{}';
  v_ids int[] := '{}';
  v_chunks bigint[] := '{}';
  v_before bigint;
begin
  for v_key in
    select p_keys[o.owner] as key, case when p_puts[o.owner] then p_versions[o.owner] end as version, o.places
      from (select u.owner, array_agg(u.ord order by u.ord) as places from unnest(p_owners) with ordinality as u (owner, ord) group by u.owner) o
     order by p_keys[o.owner] collate "C"
  loop
    continue when v_key.version is null;
    if not (p_actor.reads @> v_key.key and p_actor.writes @> v_key.key) then
      perform pgstate._deny();
    end if;
    v_rule := pgstate._rule_of(v_key.key);
    if v_rule.vectors is null or cardinality(v_rule.vector_fields) > 0 then
      raise exception using errcode = 'PS007', message = format('no vectors are given by writers of %s', v_key.key),
        hint = 'set_search(subtree, vectors => name, vector_fields => ''{}'') leaves it to them.';
    end if;
    if v_index.name is distinct from v_rule.vectors then
      select v.* into v_index from pgstate.vector_index v where v.name = v_rule.vectors;
    end if;
    continue when not exists (select from pgstate.entry e where e.key = v_key.key and e.version = v_key.version and e.value is not null);
    for v_at in 1 .. cardinality(v_key.places) loop
      perform pgstate._check_vector(v_index, p_model, array(select unnest(p_vectors[v_key.places[v_at]:v_key.places[v_at]])));
      v_places := v_places || v_key.places[v_at];
      v_keys := v_keys || v_key.key;
      v_ids := v_ids || v_index.id;
      v_chunks := v_chunks || v_at - 1::bigint;
    end loop;
  end loop;
  if p_actor.quota then
    -- what was its own there
    v_before := (
      select coalesce(sum(pg_column_size(m.vector)), 0)
        from (select distinct k from unnest(v_keys) k) w (key)
        cross join lateral (select e.version from pgstate.entry e where e.key = w.key) e
        cross join lateral (
          select from pgstate.version b where b.key = w.key and b.version = e.version - 1 and b.writer = p_actor.name) b
        cross join lateral (select x.vector from pgstate.embedding x where x.key = w.key and x.digest = '') m);
  end if;
  delete from pgstate.embedding m
   where m.key = any (p_keys)
     and not exists (select from unnest(v_keys, v_ids, v_chunks) as u (key, id, chunk) where u.key = m.key and u.id = m.index_id and u.chunk = m.chunk)
     and exists (
       select from pgstate.entry e
        where e.key = m.key and (e.value is null or exists (select from unnest(p_keys, p_versions) as w (key, version) where w.key = e.key and w.version = e.version)));
  insert into pgstate.embedding as m (key, index_id, chunk, digest, vector)
  select u.key, u.id, u.chunk, '', array(select unnest(p_vectors[u.place:u.place]))
    from unnest(v_places, v_keys, v_ids, v_chunks) as u (place, key, id, chunk)
      on conflict on constraint embedding_pkey do update
     set digest = excluded.digest, vector = excluded.vector
   where (m.digest, m.vector) is distinct from (excluded.digest, excluded.vector);
  if p_actor.quota and cardinality(v_places) > 0 then
    perform pgstate._charge(0, cardinality(v_places)::bigint * pg_column_size(array(select unnest(p_vectors[v_places[1]:v_places[1]]))) - v_before);
  end if;
end
$$;
comment on function pgstate._keep_vectors(pgstate._actor, text[], bigint[], boolean[], int[], real[], text) is 'Internal: vectors of what was just written.';
