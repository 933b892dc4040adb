create function pgstate.checkpoint_parts(key text, ids text[], ns text default '', agent text default null) returns pgstate.checkpoint_parts
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(checkpoint_parts.agent, checkpoint_parts.key, false);
begin
  if checkpoint_parts.key is null or not pgstate._key_ok(checkpoint_parts.key) then
    perform pgstate._bad_key(checkpoint_parts.key);
  elsif v_actor.readable is not true then
    perform pgstate._deny();
  end if;
  return pgstate._checkpoint_parts(checkpoint_parts.key, checkpoint_parts.ids, checkpoint_parts.ns);
end
$$;
comment on function pgstate.checkpoint_parts(text, text[], text, text) is
  'What checkpoints of a namespace hold, for those that checkpoints() lists: the chunks that their roots reach, each once however many share it, and the writes that came after each. Ids that are not there are passed over. PS001 PS010.';
