create function pgstate._sealed_keys(p_actor pgstate._actor, p_part text, p_first bigint, p_blocks int) returns setof pgstate.sealed_count
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off
as $$
declare
  v_range record := pgstate._sealed_blocks(p_actor, p_part, p_first, p_blocks);
  v_first tid := v_range.first;
  v_end tid := v_range."end";
begin
  return query
    select pgstate._sealed_under(s.type, s.data) as id, count(*)
      from pgstate._sealed s where s.part = p_part and s.place >= v_first and s.place < v_end group by 1;
end
$$;
comment on function pgstate._sealed_keys(pgstate._actor, text, bigint, int) is 'Internal: counts payloads by their keys. PS007 PS010.';
