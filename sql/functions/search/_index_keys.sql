-- Brings the index for search to what these keys hold now: called with every write, in its transaction, and when the index is
-- built. A document of a newer version stays: whoever builds reads without locking and may be late.
create function pgstate._index_keys(p_keys text[]) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_key text;
  v_entry pgstate.entry;
  v_value jsonb;
  v_rule pgstate.search_rule;
  v_doc record;
  v_words tsvector;
  v_texts text[];
  v_digest bytea;
  -- until that has come to a key there may be vectors of it that no document tells of, and documents of vectors that are gone
  v_building boolean := exists (select from pgstate.search_build);
  v_mine boolean;
begin
  foreach v_key in array p_keys loop
    v_rule := pgstate._rule_of(v_key);
    select d.rule_id, d.version, d.digest into v_doc from pgstate.search_doc d where d.key = v_key;
    continue when v_rule.id is null and v_doc.version is null and not v_building;
    if v_rule.fields = '{}' and v_rule.vector_fields = '{}' then
      -- nothing is indexed: what another rule has left goes, and what writers have given meanwhile stays
      delete from pgstate.search_doc d where d.key = v_key and d.rule_id = v_doc.rule_id and d.version = v_doc.version;
      continue when not found;
      delete from pgstate.embedding_wanted w where w.key = v_key;
      delete from pgstate.embedding m where m.key = v_key and m.digest <> '';
      continue;
    elsif v_rule.id is not null then
      select e.* into v_entry from pgstate.entry e where e.key = v_key;
      continue when v_doc.rule_id = v_rule.id and v_doc.version >= v_entry.version;
    end if;
    if v_rule.id is null or v_entry.value is null then
      -- the one that was looked at: there may be another by now
      delete from pgstate.search_doc d where d.key = v_key and d.rule_id = v_doc.rule_id and d.version = v_doc.version;
      v_mine := found;
      continue when not v_mine and not v_building;
      delete from pgstate.embedding_wanted w where v_mine and w.key = v_key;
      delete from pgstate.embedding m
       where m.key = v_key and (v_mine or not exists (select from pgstate.search_doc d where d.key = v_key))
         and not (select i.given @> v_key from pgstate.install i);
      continue;
    end if;
    v_value := pgstate._held_value(v_entry);
    v_words := pgstate._words(v_rule.config, v_rule.fields, v_value);
    v_texts := case when v_rule.vectors is not null then pgstate._texts_of(v_value, v_rule.vector_fields) end;
    v_digest := case when v_texts is not null then sha256(convert_to(v_rule.vectors || to_json(v_texts)::text, 'UTF8')) end;
    insert into pgstate.search_doc as d (key, rule_id, version, words, scoped, digest)
    values (v_key, v_rule.id, v_entry.version, v_words, pgstate._scoped(v_words, v_rule.salt, v_rule.subtree, v_key), v_digest)
        on conflict on constraint search_doc_pkey do update
       set rule_id = excluded.rule_id, version = excluded.version, words = excluded.words, scoped = excluded.scoped, digest = excluded.digest
     where d.rule_id <> excluded.rule_id or d.version < excluded.version;
    continue when not found;
    if cardinality(v_rule.vector_fields) = 0 and (v_doc.version is not null or v_building) then
      -- the writer gives the vectors: those of this version come next
      delete from pgstate.embedding_wanted w where w.key = v_key;
    else
      continue when v_digest is not distinct from v_doc.digest and (
        not v_building
        or exists (select from pgstate.embedding_wanted w where w.key = v_key and w.digest = v_digest)
        or exists (select from pgstate.embedding m where m.key = v_key and m.digest = v_digest));
      -- first what set_vectors() locks, so that what it has stored meanwhile is seen below
      if v_digest is null then
        delete from pgstate.embedding_wanted w where w.key = v_key;
      else
        insert into pgstate.embedding_wanted as w (key, digest) values (v_key, v_digest)
            on conflict on constraint embedding_wanted_pkey do update set digest = excluded.digest;
      end if;
    end if;
    -- not where writers have been left to give them meanwhile, who look at no document
    delete from pgstate.embedding m where m.key = v_key and not (select i.given @> v_key from pgstate.install i);
  end loop;
end
$$;
comment on function pgstate._index_keys(text[]) is 'Internal: indexes what keys hold now for search.';
