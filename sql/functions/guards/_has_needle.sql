create function pgstate._has_needle(p_text text, p_needles text) returns boolean
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  v_needle text;
begin
  foreach v_needle in array string_to_array(p_needles, '|') loop
    if strpos(p_text collate "C", v_needle) > 0 then
      return true;
    end if;
  end loop;
  return false;
end
$$;
comment on function pgstate._has_needle(text, text) is 'Internal: may a rule of _secret_patterns() find something in a text?';
