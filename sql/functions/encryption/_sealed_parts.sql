create function pgstate._sealed_parts(p_actor pgstate._actor) returns setof pgstate.sealed_part
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_admin(p_actor, '**');
  return query
    select p.part, pg_relation_size(p.relation) / current_setting('block_size')::int
      from (values ('chunk', 'pgstate.chunk'::regclass), ('checkpoint', 'pgstate.checkpoint'), ('header', 'pgstate.checkpoint'),
                   ('pending_write', 'pgstate.pending_write'), ('input', 'pgstate.run'), ('result', 'pgstate.run'), ('signal', 'pgstate.signal'),
                   ('step', 'pgstate.step')) p (part, relation);
end
$$;
comment on function pgstate._sealed_parts(pgstate._actor) is 'Internal: where sealed payloads are. PS010.';
