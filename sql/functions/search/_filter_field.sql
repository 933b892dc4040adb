-- Does what lies at a path fit? After [*] in a filter of its own, so that one element that lacks a field does not make all of
-- them unknown.
create function pgstate._filter_field(p_at text, p_steps text[], p_predicate text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_star int := array_position(p_steps, '[*]');
begin
  if v_star is not null and v_star < cardinality(p_steps) then
    return 'exists(' || p_at || array_to_string(p_steps[:v_star], '') || ' ? ('
           || pgstate._filter_field('@', p_steps[v_star + 1:], p_predicate) || '))';
  end if;
  return 'exists(' || p_at || array_to_string(p_steps, '') || ' ? (' || p_predicate || '))';
end
$$;
comment on function pgstate._filter_field(text, text[], text) is 'Internal: a predicate about what lies at a path, as one of a jsonpath.';
