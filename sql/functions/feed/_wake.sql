-- Wake-ups are hints: an empty payload on a channel that only its subscriber was told. What changed is read from the
-- feed, through the reader's own rights.
create function pgstate._wake(p_keys text[], p_within pgstate.keymultirange default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pg_notify(w.channel, '')
     -- detoasted once for each, not for each key
     from (select x.channel, x.agent_ids, x.ranges + '{}' as ranges from pgstate.watcher x where x.expires_at > pgstate._now() offset 0) w
    -- the registration may be older than a revocation: what counts is what may be read now
    where exists (select from unnest(p_keys) k
                   where w.ranges @> k and (p_within is null or (select p_within + '{}') @> k)
                     and exists (select from pgstate.reach r where r.agent_id = any (w.agent_ids) and r.reads @> k));
end
$$;
comment on function pgstate._wake(text[], pgstate.keymultirange) is 'Internal: notifies the channels that watch any of the keys, of those within some ranges.';
