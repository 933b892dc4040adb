create function pgstate.explain_policy(key text, agent text default null) returns setof pgstate.policy_setting
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(explain_policy.agent, explain_policy.key);
begin
  if explain_policy.key is null or not pgstate._key_ok(explain_policy.key) then
    perform pgstate._bad_key(explain_policy.key);
  elsif not (v_actor.readable or v_actor.writable) then
    perform pgstate._deny();
  end if;
  return query select * from pgstate._explain_policy(v_actor, explain_policy.key);
end
$$;
comment on function pgstate.explain_policy(text, text) is 'What holds for a key, whether or not it exists: each setting, its value, and the subtree that it comes from (null when no policy sets it). Needs read or write on the key. PS001 PS010.';
