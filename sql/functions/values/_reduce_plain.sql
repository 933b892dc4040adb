-- Of the built-in reducers what is one expression, as _reduce() has it: null for others, which it is for _reduce() to tell
-- from operands that do not fit. In a query the planner puts the expression in place of the call, which takes 10 us.
create function pgstate._reduce_plain(p_reducer text, p_current jsonb, p_operand jsonb) returns jsonb
language sql stable parallel safe
as $$
  select case p_reducer
    when 'replace' then p_operand
    when 'first' then coalesce(p_current, p_operand)
    when 'add' then case
      when jsonb_typeof(p_operand) <> 'number' or jsonb_typeof(p_current) <> 'number' then null
      -- far beyond every float; at 1e131072 numeric overflows
      when abs(p_operand::numeric) >= 1e400 or abs(p_current::numeric) >= 1e400 then null
      when p_current is null then p_operand
      else to_jsonb(p_current::numeric + p_operand::numeric) end
    when 'merge' then case
      when jsonb_typeof(p_operand) <> 'object' or jsonb_typeof(p_current) <> 'object' then null
      else coalesce(p_current || p_operand, p_operand) end
    -- the usual case: of such an element containment is equality
    when 'union' then case when jsonb_typeof(p_operand) = 'array' and jsonb_typeof(p_current) = 'array' then case
      when jsonb_array_length(p_operand) = 1 then case
        when jsonb_typeof(p_operand -> 0) in ('object', 'array') then null
        when p_current @> p_operand then p_current
        else p_current || p_operand end end end
    else case
      when p_reducer is null or p_reducer not in ('max', 'min') or jsonb_typeof(p_operand) not in ('number', 'string')
        or jsonb_typeof(p_current) <> jsonb_typeof(p_operand) then null
      when p_current is null then p_operand
      when case jsonb_typeof(p_current)
             when 'number' then (p_operand::numeric > p_current::numeric) = (p_reducer = 'max') and p_operand <> p_current
             else ((p_operand #>> '{}') collate "C" > (p_current #>> '{}') collate "C") = (p_reducer = 'max') end
        then p_operand
      else p_current end
  end
$$;
comment on function pgstate._reduce_plain(text, jsonb, jsonb) is 'Internal: a built-in reducer that is one expression.';
