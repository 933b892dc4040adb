-- Checks what a call about sealed payloads says: admin on everything, a part, and blocks of its table. Returns where these begin and end.
create function pgstate._sealed_blocks(p_actor pgstate._actor, p_part text, p_first bigint, p_blocks int, out first tid, out "end" tid)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_admin(p_actor, '**');
  if (p_part in ('chunk', 'checkpoint', 'header', 'pending_write', 'input', 'result', 'step', 'signal')) is not true
     or (p_first between 0 and 4294967294) is not true or (p_blocks between 1 and 1000000) is not true then
    raise exception using errcode = 'PS007', message = 'a part is one that sealed_parts() names, the first block is 0 or more, and blocks are 1 to 1000000';
  end if;
  first := format('(%s,0)', p_first)::tid;
  "end" := format('(%s,0)', least(p_first + p_blocks, 4294967295))::tid;
end
$$;
comment on function pgstate._sealed_blocks(pgstate._actor, text, bigint, int) is 'Internal: a range of blocks. PS007 PS010.';
