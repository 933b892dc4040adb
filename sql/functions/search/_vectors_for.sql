-- The vector index that a search of some ranges is about; no row when there is none.
create function pgstate._vectors_for(p_ranges pgstate.keymultirange, p_name text, p_model text) returns pgstate.vector_index
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_index pgstate.vector_index;
  v_found pgstate.vector_index[];
begin
  if p_name is not null then
    select v.* into v_index from pgstate.vector_index v where v.name = p_name;
    if v_index.id is null then
      raise exception using errcode = 'PS007', message = format('there is no vector index %L', pgstate._shown(p_name)), hint = 'pgstate.vectors() lists them.';
    elsif not isempty(p_ranges) and not exists (select from pgstate.search_rule r where r.vectors = p_name and p_ranges && r.ranges) then
      -- its vectors go with the rule: what was found by it yesterday would be nothing, and nobody told
      raise exception using errcode = 'PS007', message = format('nothing where the pattern reaches is found by vector index %s', p_name),
        hint = 'pgstate.searches() lists what is; set_search(subtree, vectors => name) changes it.';
    end if;
    return v_index;
  end if;
  v_found := array(
    select v from pgstate.vector_index v
     where exists (select from pgstate.search_rule r where r.vectors = v.name and p_ranges && r.ranges)
     order by v.model = p_model desc, v.name);
  if cardinality(v_found) > 1 and ((v_found[1]).model <> p_model or (v_found[2]).model = p_model or p_model is null) then
    raise exception using errcode = 'PS007', message = 'the pattern reaches entries of several vector indexes',
      hint = 'Name one of them (vectors => …), or the model that the vector is of.';
  end if;
  return v_found[1];
end
$$;
comment on function pgstate._vectors_for(pgstate.keymultirange, text, text) is 'Internal: the vector index that a search is about.';
