-- What a root or a page names, with chunks in the place of those that have been sealed anew; as it is, if there are none.
create function pgstate._moved_refs(p_stores bigint[], p_type text, p_data bytea) returns bytea
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if (p_type = '@' or p_type ^@ '#') is not true or p_data = '' then
    return p_data;
  end if;
  return (select string_agg(coalesce(pgstate._moved(p_stores, r.hash), r.hash), ''::bytea order by r.ord)
            from pgstate._refs(array[p_type], array[p_data]) with ordinality r (hash, ord));
end
$$;
comment on function pgstate._moved_refs(bigint[], text, bytea) is 'Internal: references to chunks, brought up to date.';
