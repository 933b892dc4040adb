-- May this operand be recorded by itself, to be folded into a value of that type when it is read? Null when not: it does not
-- fit, or only the value can tell; false when it changes no value.
create function pgstate._operand_grows(p_reducer text, p_type text, p_operand jsonb) returns boolean
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  v_empty jsonb := case p_type when 'array' then '[]' when 'object' then '{}' end;
begin
  if p_reducer not in ('append', 'union', 'merge', 'deep_merge', 'messages') or v_empty is null
     or p_reducer = 'deep_merge' and pgstate._deep_merge(p_operand, p_operand, 200) is null then
    return null;
  end if;
  return pgstate._reduce(p_reducer, v_empty, p_operand) <> v_empty;
end
$$;
comment on function pgstate._operand_grows(text, text, jsonb) is 'Internal: can an operand stand in history in place of the value?';
