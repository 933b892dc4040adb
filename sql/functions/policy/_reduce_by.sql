-- Any reducer, built in or registered, as _reduce(): null when the operand does not fit. The only SQL here that is put
-- together at run time, and only from the catalogue's names of a function that an administrator registered.
create function pgstate._reduce_by(p_reducer text, p_current jsonb, p_operand jsonb) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_oid oid;
  v_function text;
  v_strict boolean;
  v_new jsonb;
begin
  if pgstate._built_in(p_reducer) then
    return pgstate._reduce(p_reducer, p_current, p_operand);
  end if;
  v_oid := pgstate._own_reducer(p_reducer);
  select format('%I.%I', n.nspname, p.proname), p.proisstrict into v_function, v_strict
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace where p.oid = v_oid;
  if v_function is null then
    return null;
  elsif v_strict and p_current is null then
    -- as with the built-in ones: a missing key starts from the operand
    return p_operand;
  end if;
  begin
    execute 'select ' || v_function || '($1, $2)' into v_new using p_current, p_operand;
  exception when others then
    -- what it says may hold the value
    return null;
  end;
  return v_new;
end
$$;
comment on function pgstate._reduce_by(text, jsonb, jsonb) is 'Internal: applies a built-in or registered reducer.';
