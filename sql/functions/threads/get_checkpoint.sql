create function pgstate.get_checkpoint(key text, id text default null, ns text default '', agent text default null) returns pgstate.checkpoint_full
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(get_checkpoint.agent, get_checkpoint.key, false);
begin
  if get_checkpoint.key is null or not pgstate._key_ok(get_checkpoint.key) then
    perform pgstate._bad_key(get_checkpoint.key);
  elsif v_actor.readable is not true then
    perform pgstate._deny();
  end if;
  return pgstate._get_checkpoint(get_checkpoint.key, get_checkpoint.id, get_checkpoint.ns);
end
$$;
comment on function pgstate.get_checkpoint(text, text, text, text) is
  'A checkpoint of a thread, the latest unless an id is given, of the namespace ns: its root, all chunks that it reaches, and the writes that came after it. Status ok, or missing. checkpoint_state() shows its values. PS001 PS010.';
