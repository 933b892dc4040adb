create function pgstate.endorse(key text, version bigint, trust text, agent text default null) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(endorse.agent, null, null, endorse.key);
begin
  if endorse.key is null or not pgstate._key_ok(endorse.key) then
    perform pgstate._bad_key(endorse.key);
  end if;
  return pgstate._endorse(v_actor, endorse.key, endorse.version, endorse.trust);
end
$$;
comment on function pgstate.endorse(text, bigint, text, text) is
  'Raises the trust of what a key holds, up to the caller''s own and whatever the policies say: a new version with the same value, which tells who endorsed what. Status ok with its version, conflict when version is not the current one, held while it is claimed, or missing. Needs admin on the key. PS001 PS007 PS010 PS040.';
