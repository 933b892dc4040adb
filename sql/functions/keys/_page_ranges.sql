-- What a page of a list reaches: the ranges that the pattern and the grants both cover, after the last key of the page before.
-- Raises what is wrong with any of that, and PS010 when the pattern reaches nothing that the caller may read.
create function pgstate._page_ranges(p_actor pgstate._actor, p_pattern text, p_limit int, p_after text) returns pgstate.keymultirange
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_ranges pgstate.keymultirange;
begin
  perform pgstate._check_pattern(p_pattern);
  if p_limit not between 1 and 100000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 100000, or null for no limit';
  elsif p_after is not null and not pgstate._key_ok(p_after) then
    perform pgstate._bad_key(p_after);
  end if;
  v_ranges := pgstate._pattern_ranges(p_pattern) * p_actor.reads;
  if isempty(v_ranges) and p_pattern <> '' then
    perform pgstate._deny();
  end if;
  return case when p_after is null then v_ranges else v_ranges * multirange(pgstate._range(p_after || chr(1), chr(127))) end;
end
$$;
comment on function pgstate._page_ranges(pgstate._actor, text, int, text) is 'Internal: checks what a list is asked for, and returns the ranges to read.';
