create function pgstate.get(key text, agent text default null, min_trust text default null) returns pgstate.entry_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(get.agent, get.key, false);
  v_row pgstate.entry_row;
  v_min pgstate.trust;
begin
  if get.key is null or not pgstate._key_ok(get.key) then
    perform pgstate._bad_key(get.key);
  elsif not v_actor.readable then
    perform pgstate._deny();
  end if;
  if get.min_trust is not null then
    v_min := pgstate._trust_named(get.min_trust);
  end if;
  select 'ok', e.key, case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end,
         e.version, e.kind, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, e.priority, e.not_before, e.trust::text
    into v_row
    from pgstate.entry e
   where e.key = get.key and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now())
     and (v_min is null or e.trust >= v_min);
  if v_row.key is null then
    v_row.status := 'missing';
    v_row.key := get.key;
  end if;
  return v_row;
end
$$;
comment on function pgstate.get(text, text, text) is 'One entry: status ok with its columns, or missing. min_trust: what is trusted less is missing. PS001 for an invalid key, PS010 outside the caller''s grants, whether or not the key exists.';
