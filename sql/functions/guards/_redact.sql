-- Also of the text of JSON, which stays JSON: see _secret_patterns().
create function pgstate._redact(p_text text) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  v_rule text[];
  v_text text := p_text;
begin
  if pgstate._may_be_secret(p_text) then
    foreach v_rule slice 1 in array pgstate._secret_patterns() loop
      if pgstate._has_needle(v_text, v_rule[3]) then
        v_text := regexp_replace(v_text, v_rule[2], '[redacted:' || v_rule[1] || ']', 'g');
      end if;
    end loop;
  end if;
  return v_text;
end
$$;
comment on function pgstate._redact(text) is 'Internal: a text with [redacted:rule] in place of each secret.';
