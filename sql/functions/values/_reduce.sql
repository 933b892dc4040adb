-- The built-in reducers. Frozen for ever: history replays them. Null when the operand does not fit the current value, or
-- the name is unknown; never an error, which would end a batch of others. p_current is SQL null for a key that does not exist.
create function pgstate._reduce(p_reducer text, p_current jsonb, p_operand jsonb) returns jsonb
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  v_type text := jsonb_typeof(p_current);
  v_list jsonb;
begin
  if p_reducer in ('append', 'union', 'messages') then
    if v_type <> 'array' then
      return null;
    end if;
    v_list := case when jsonb_typeof(p_operand) = 'array' then p_operand else jsonb_build_array(p_operand) end;
    if p_reducer = 'append' then
      return coalesce(p_current, '[]') || v_list;
    elsif p_reducer = 'union' then
      if jsonb_array_length(v_list) = 1 and jsonb_typeof(v_list -> 0) not in ('object', 'array') then
        return pgstate._reduce_plain('union', coalesce(p_current, '[]'), v_list);
      end if;
      return coalesce(p_current, '[]') || coalesce((
        select jsonb_agg(n.element order by n.place)
          from (select e.element, min(e.place) as place
                  from jsonb_array_elements(v_list) with ordinality as e (element, place) group by e.element) n
         where p_current is null or not exists (select from jsonb_array_elements(p_current) c where c.value = n.element)), '[]');
    elsif exists (select from jsonb_array_elements(v_list) e where jsonb_typeof(e.value) <> 'object') then
      return null;
    end if;
    return coalesce(pgstate._merge_messages(coalesce(p_current, '[]'), v_list), '[]');
  end if;
  if p_reducer = 'deep_merge' then
    return case
      when jsonb_typeof(p_operand) <> 'object' or v_type <> 'object' then null
      when p_current is null then p_operand
      else pgstate._deep_merge(p_current, p_operand, 200) end;
  end if;
  if p_current is null then
    return case
      when p_reducer in ('replace', 'first') or p_reducer = 'merge' and jsonb_typeof(p_operand) = 'object'
        or p_reducer in ('max', 'min') and jsonb_typeof(p_operand) in ('number', 'string') then p_operand
      -- as in _reduce_plain()
      when p_reducer = 'add' and jsonb_typeof(p_operand) = 'number' then case when abs(p_operand::numeric) < 1e400 then p_operand end end;
  end if;
  if p_reducer in ('max', 'min') and v_type = 'string' then
    return case
      when jsonb_typeof(p_operand) <> 'string' then null
      when (p_operand #>> '{}') collate "C" > (p_current #>> '{}') collate "C" then case p_reducer when 'max' then p_operand else p_current end
      when p_operand <> p_current then case p_reducer when 'max' then p_current else p_operand end
      else p_current end;
  end if;
  return pgstate._reduce_plain(p_reducer, p_current, p_operand);
end
$$;
comment on function pgstate._reduce(text, jsonb, jsonb) is 'Internal: applies a built-in reducer.';
