create function pgstate.unembedded(pattern text default '', "limit" int default 100, after text default null, agent text default null) returns setof pgstate.unembedded_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(unembedded.agent);
  v_ranges pgstate.keymultirange;
begin
  if unembedded."limit" is null or unembedded."limit" not between 1 and 10000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 10000';
  end if;
  -- what the caller may not write it need not embed: its vectors would be refused
  v_ranges := pgstate._page_ranges(v_actor, unembedded.pattern, unembedded."limit", unembedded.after) * v_actor.writes;
  return query select u.* from pgstate._unembedded(v_ranges, pgstate._pattern_regex(unembedded.pattern), unembedded."limit") u;
end
$$;
comment on function pgstate.unembedded(text, int, text, text) is
  'Entries that match a pattern, that the caller may read and write and whose vectors are missing or were of an older text: search by words finds them, by vectors not. For each of texts a vector of that model goes to set_vectors(), with the digest. In key order, limit 1 to 10000, after: the last key of the page before. PS001 PS002 PS007 PS010.';
