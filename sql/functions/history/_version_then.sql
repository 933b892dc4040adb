-- _search() for one key, without the policies, each mention of which costs a call as much as a few looks: the caller reads
-- the version itself under them. What may not be touched is not looked at here either.
create function pgstate._version_then(p_key text, p_moment pgstate._moment) returns bigint
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  if pgstate._reachable('touch') @> p_key is not true then
    perform pgstate._deny();
  end if;
  return (
    select s.version
      from pgstate.entry e
      cross join lateral pgstate._search(e.key, e.version, p_moment.epoch, p_moment.base, p_moment.upto, p_moment.after, p_moment.seq) s
     where e.key = p_key and e.version > 8);
end
$$;
comment on function pgstate._version_then(text, pgstate._moment) is 'Internal: the number of the version that a key was at in a past state, looked for below its newest eight.';
