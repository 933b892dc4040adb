-- What a put would store, by the rules that _try_each() goes by; null when one of them refuses the value.
create function pgstate._storable(p_actor pgstate._actor, p_key text, p_value jsonb) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_rules pgstate._policy;
  -- out of its compressed form, in which it may be any size: an array holds none
  v_plain jsonb := (array[p_value])[1];
  v_value jsonb := v_plain;
begin
  if p_actor.policies then
    v_rules := pgstate._policy_of(p_key);
  end if;
  if v_rules.guard is distinct from 'off' and pgstate._may_be_secret(p_key || ' ' || p_value::text)
     and pgstate._secret_rule(p_key || ' ' || p_value::text) is not null then
    if v_rules.guard is distinct from 'redact' or pgstate._secret_rule(p_key) is not null then
      return null;
    end if;
    v_value := pgstate._redact(p_value::text)::jsonb;
  end if;
  if pg_column_size(v_plain) > p_actor.value_limit or pg_column_size(v_value) > v_rules.value_limit
     or pgstate._schema_error(v_rules.schema, v_value) is not null then
    return null;
  end if;
  return v_value;
end
$$;
comment on function pgstate._storable(pgstate._actor, text, jsonb) is 'Internal: what a put would store; null when it would be refused.';
