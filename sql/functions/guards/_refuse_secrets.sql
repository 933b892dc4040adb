-- For rules, which lie in the database as long as entries do, and in the audit trail longer.
create function pgstate._refuse_secrets(p_actor pgstate._actor, p_subtree text, p_text text) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_rule text := pgstate._secret_in(p_actor, p_subtree, p_text);
begin
  if v_rule is not null then
    perform pgstate._raise('PS009', p_subtree, pgstate._error_text('PS009', p_subtree) || ': ' || v_rule);
  end if;
end
$$;
comment on function pgstate._refuse_secrets(pgstate._actor, text, text) is 'Internal: PS009 for a text with a secret, unless the guard of a subtree is off.';
