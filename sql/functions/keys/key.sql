-- Percent-encoding as in RFC 3986, over the bytes of the text; '%' itself is always encoded, so that no two texts meet.
create function pgstate.key(variadic segments text[]) returns text
language plpgsql immutable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_key text := '';
  v_segment text;
  v_byte int;
  v_bytes bytea;
  v_quoted text;
begin
  foreach v_segment in array key.segments loop
    if v_segment is null or v_segment = '' then
      raise exception using errcode = 'PS001', message = 'an empty text cannot be a key segment',
        hint = 'Leave the segment out, or put something that stands for nothing in its place.';
    end if;
    if v_segment in ('.', '..') then
      v_quoted := replace(v_segment, '.', '%2E');
    elsif v_segment ~ '^[A-Za-z0-9._~:@=+,-]+$' then
      v_quoted := v_segment;
    else
      v_bytes := convert_to(v_segment, 'UTF8');
      v_quoted := '';
      for i in 0 .. length(v_bytes) - 1 loop
        v_byte := get_byte(v_bytes, i);
        if v_byte < 128 and chr(v_byte) ~ '[A-Za-z0-9._~:@=+,-]' then
          v_quoted := v_quoted || chr(v_byte);
        else
          v_quoted := v_quoted || '%' || upper(lpad(to_hex(v_byte), 2, '0'));
        end if;
      end loop;
    end if;
    v_key := v_key || case when v_key = '' then '' else '/' end || v_quoted;
  end loop;
  if not pgstate._key_ok(v_key) then
    perform pgstate._bad_key(v_key);
  end if;
  return v_key;
end
$$;
comment on function pgstate.key(text[]) is 'Joins texts into a key; what a segment cannot hold is quoted as %XX. PS001 for an empty text or a key over 512 bytes.';
