-- The rule by which JSON, or the message of an error, holds a secret; and that without it. Writers of JSON may escape what they like: some
-- do so with / and +, or with all that is not ASCII. So escapes of printable characters are taken away, but for quotation marks and
-- backslashes; and a letter behind another escape, which would seem to go on with it, is set apart. Two characters that JSON cannot hold
-- stand for an escaped backslash, and set apart.
create function pgstate._guarded_bytes(p_type text, p_data bytea, out rule text, out data bytea) returns record
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  v_text text;
  v_hex text;
begin
  begin
    v_text := convert_from(p_data, 'UTF8');
  exception when character_not_in_repertoire or untranslatable_character then
    -- no JSON: looked at as it is, in escapes that can be taken back
    rule := pgstate._secret_rule(encode(p_data, 'escape'));
    data := case when rule is null then p_data else decode(pgstate._redact(encode(p_data, 'escape')), 'escape') end;
    return;
  end;
  if p_type <> 'error' and strpos(v_text collate "C", E'\\') > 0 and strpos(v_text collate "C", chr(1)) + strpos(v_text collate "C", chr(2)) = 0 then
    v_text := replace(replace(v_text, E'\\\\', chr(1)), E'\\/', '/');
    if strpos(v_text collate "C", E'\\u00') > 0 then
      for v_code in 32 .. 126 loop
        continue when v_code in (34, 92);
        v_hex := to_hex(v_code);
        v_text := replace(replace(v_text, E'\\u00' || v_hex, chr(v_code)), E'\\u00' || upper(v_hex), chr(v_code));
      end loop;
      v_text := regexp_replace(regexp_replace(v_text, E'\\\\u000[aA]', E'\\\\n', 'g'), E'\\\\u000[dD]', E'\\\\r', 'g');
    end if;
    v_text := replace(regexp_replace(v_text, E'(\\\\u[0-9A-Fa-f]{4})(?=[A-Za-z0-9])', E'\\1' || chr(2), 'g'), chr(1), E'\\\\');
  end if;
  rule := pgstate._secret_rule(v_text);
  data := case when rule is null then p_data else convert_to(replace(pgstate._redact(v_text), chr(2), ''), 'UTF8') end;
end
$$;
comment on function pgstate._guarded_bytes(text, bytea) is 'Internal: the rule by which serialized data holds a secret, and the data without.';
