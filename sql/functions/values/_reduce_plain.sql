-- Of the built-in reducers what is one expression, of a value that there is, as _reduce() has it: null for others, which it is for
-- _reduce() to tell from operands that do not fit. In a query the planner puts the expression in place of the call, which takes
-- 10 us; each function in it takes about half of one, called or not, so the types of both are asked for once.
create function pgstate._reduce_plain(p_reducer text, p_current jsonb, p_operand jsonb) returns jsonb
language sql stable parallel safe
as $$
  select case concat(p_reducer, ' ', jsonb_typeof(p_current), ' ', jsonb_typeof(p_operand))
    when 'add number number' then case
      -- far beyond every float; at 1e131072 numeric overflows
      when greatest(abs(p_operand::numeric), abs(p_current::numeric)) < 1e400 then to_jsonb(p_current::numeric + p_operand::numeric) end
    when 'merge object object' then p_current || p_operand
    -- the usual case: of such an element containment is equality
    when 'union array array' then case
      when jsonb_array_length(p_operand) = 1 and jsonb_typeof(p_operand -> 0) not in ('object', 'array') then case
        when p_current @> p_operand then p_current else p_current || p_operand end end
    -- strings would be compared by the database's collation
    when 'max number number' then case when p_operand > p_current then p_operand else p_current end
    when 'min number number' then case when p_operand < p_current then p_operand else p_current end
    else case when p_current is not null then case p_reducer when 'replace' then p_operand when 'first' then p_current end end
  end
$$;
comment on function pgstate._reduce_plain(text, jsonb, jsonb) is 'Internal: a built-in reducer that is one expression.';
