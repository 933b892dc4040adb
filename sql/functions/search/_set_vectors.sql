-- The row in embedding_wanted is locked, which a writer of the key updates: vectors of a text that is not the entry's any more are
-- never stored, and what is stored goes when the text changes.
create function pgstate._set_vectors(p_actor pgstate._actor, p_keys text[], p_digests text[], p_chunks int[], p_vectors real[], p_model text)
returns setof pgstate.embedded
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_index pgstate.vector_index;
  v_key record;
  v_at int;
  v_texts int;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform pgstate._check_rights_seen(p_actor.id);
  end if;
  for v_key in
    select u.key, min(u.digest) as digest, array_agg(u.chunk order by u.chunk) as chunks, array_agg(u.ord order by u.chunk) as places,
           min(u.digest) = max(u.digest) as one
      from unnest(p_keys, p_digests, p_chunks) with ordinality as u (key, digest, chunk, ord) group by u.key order by u.key collate "C"
  loop
    if not (p_actor.reads @> v_key.key and p_actor.writes @> v_key.key) then
      return next row(v_key.key, 'denied')::pgstate.embedded;
      continue;
    end if;
    -- before what waits, as its writers do; who gives vectors touches nothing of that, and is seen by the entry's version
    perform from pgstate.entry e where e.key = v_key.key for share;
    perform from pgstate.embedding_wanted w where w.key = v_key.key and encode(w.digest, 'hex') = v_key.digest for update;
    if not found then
      return next row(v_key.key, 'stale')::pgstate.embedded;
      continue;
    end if;
    select v.*, cardinality(pgstate._texts_of(pgstate._held_value(e), r.vector_fields)) into v_index.id, v_index.name, v_index.model, v_index.dims, v_index.distance,
           v_index.method, v_index.type, v_index.options, v_index.created_by, v_index.created_at, v_texts
      from pgstate.search_doc d join pgstate.search_rule r on r.id = d.rule_id join pgstate.vector_index v on v.name = r.vectors
      join pgstate.entry e on e.key = d.key and e.version = d.version
     where d.key = v_key.key and encode(d.digest, 'hex') = v_key.digest and not (select i.given @> v_key.key from pgstate.install i);
    if v_index.id is null then
      return next row(v_key.key, 'stale')::pgstate.embedded;
      continue;
    elsif not v_key.one or v_key.chunks <> array(select n from generate_series(0, v_texts - 1) n) then
      raise exception using errcode = 'PS007', message = format('%s has %s texts to embed: as many vectors are needed, with chunks from 0', v_key.key, v_texts);
    end if;
    delete from pgstate.embedding m where m.key = v_key.key;
    foreach v_at in array v_key.places loop
      insert into pgstate.embedding (key, index_id, chunk, digest, vector)
      values (v_key.key, v_index.id, p_chunks[v_at], decode(v_key.digest, 'hex'),
              pgstate._checked_vector(v_index, p_model, array(select unnest(p_vectors[v_at:v_at]))));
    end loop;
    delete from pgstate.embedding_wanted w where w.key = v_key.key;
    return next row(v_key.key, 'ok')::pgstate.embedded;
  end loop;
end
$$;
comment on function pgstate._set_vectors(pgstate._actor, text[], text[], int[], real[], text) is 'Internal: set_vectors().';
