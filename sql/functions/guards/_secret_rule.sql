-- The first rule that something in a text fits. The name of the rule is all that anybody is told.
create function pgstate._secret_rule(p_text text) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  v_rule text[];
begin
  if pgstate._may_be_secret(p_text) then
    foreach v_rule slice 1 in array pgstate._secret_patterns() loop
      if pgstate._has_needle(p_text, v_rule[3]) and p_text ~ v_rule[2] then
        return v_rule[1];
      end if;
    end loop;
  end if;
  return null;
end
$$;
comment on function pgstate._secret_rule(text) is 'Internal: the rule by which a text holds a secret, or null.';
