-- Is there anybody to wake? Only what was written counts: the answer goes to the writer.
create function pgstate._watched(p_keys text[], p_outcomes pgstate.outcome[]) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from pgstate.watcher w
     where w.expires_at > pgstate._now()
       and exists (select from unnest(p_outcomes) o where o.status = 'ok' and w.ranges @> p_keys[o.ord]));
end
$$;
comment on function pgstate._watched(text[], pgstate.outcome[]) is 'Internal: does anybody watch what was written?';
