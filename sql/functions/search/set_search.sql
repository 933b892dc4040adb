create function pgstate.set_search(
  subtree text, fields text[] default array['$'], config text default 'english', vectors text default null,
  vector_fields text[] default null, agent text default null
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if set_search.fields is null or set_search.config is null then
    raise exception using errcode = 'PS007', message = 'fields and config are given, or left out';
  end if;
  perform pgstate._set_search(pgstate._enter(set_search.agent), set_search.subtree, set_search.fields, set_search.config, set_search.vectors,
                              coalesce(set_search.vector_fields, case when set_search.vectors is not null then array['$'] end));
end
$$;
comment on function pgstate.set_search(text, text[], text, text, text[], text) is
  'Has what is written to a key, a subtree (research/**) or everything (**) indexed for search(); for each key the nearest subtree decides, and alone. fields: paths whose strings and numbers are searched ($ is all of the value, see matches() for paths). config: text search configuration. vectors: a vector index that entries are embedded for, by the application: a vector for each match of vector_fields (all of the value unless given); an empty array leaves it to the writers to give vectors, with write_embedded(). What is there already is indexed by maintain(), and found meanwhile, slower. Needs admin on all of the subtree, the first one admin on everything. 55P03 when the first one waits for a transaction that has written for 2 s. PS002 PS007 PS010 PS060.';
