-- Ranges as bounds to look keys up between: from low, and below high. Exact, since no key holds chr(1). The planner puts its
-- body into the query; low and high are columns then, and under row-level security a key is looked up in an index only by what
-- no function computes there.
create function pgstate._spans(p_ranges pgstate.keymultirange) returns table (low text, high text)
language sql immutable parallel safe
begin atomic
  select coalesce(case when lower_inc(r) then lower(r) else lower(r) || chr(1) end, ''),
         coalesce(case when upper_inc(r) then upper(r) || chr(1) else upper(r) end, chr(127))
    from unnest(p_ranges) r;
end;
comment on function pgstate._spans(pgstate.keymultirange) is 'Internal: ranges of keys as half-open bounds.';
