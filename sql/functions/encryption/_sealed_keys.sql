-- In one statement, whose snapshot has each row once: of blocks that are looked at one after the other, a row that is updated meanwhile may be
-- in none, and who believes that nothing is left deletes a key.
create function pgstate._sealed_keys(p_actor pgstate._actor, p_part text) returns setof pgstate.sealed_count
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
as $$
begin
  perform pgstate._sealed_blocks(p_actor, p_part, 0, 1);
  return query
    select pgstate._sealed_under(s.type, s.data) as id, count(*) from pgstate._sealed s where s.part = p_part group by 1;
end
$$;
comment on function pgstate._sealed_keys(pgstate._actor, text) is 'Internal: counts payloads by their keys. PS007 PS010.';
