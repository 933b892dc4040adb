-- Is there anybody to wake? The keys are those that were written, not those that were tried: the answer goes to the writer.
create function pgstate._watched(p_keys text[]) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if cardinality(p_keys) = 1 then
    -- half the plan
    return exists (select from pgstate.watcher w where w.expires_at > pgstate._now() and w.ranges @> p_keys[1]);
  end if;
  return exists (
    select from pgstate.watcher w
     where w.expires_at > pgstate._now() and exists (select from unnest(p_keys) k where w.ranges @> k));
end
$$;
comment on function pgstate._watched(text[]) is 'Internal: does anybody watch what was written?';
