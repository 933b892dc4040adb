create function pgstate._register_reducer(p_actor pgstate._actor, p_name text, p_function regprocedure) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_function record;
  v_fault text;
begin
  perform pgstate._check_admin(p_actor, '**');
  if p_name is null or p_name !~ '^[a-z][a-z0-9_]{0,62}$' then
    raise exception using errcode = 'PS007', message = format('invalid name of a reducer %L', pgstate._shown(p_name)),
      hint = 'A name is 1 to 63 of a-z, 0-9 and _, and begins with a letter.';
  elsif pgstate._built_in(p_name) then
    raise exception using errcode = 'PS007', message = format('%s is built in and stays what it is', p_name);
  end if;
  select p.*, n.nspname into v_function from pg_proc p join pg_namespace n on n.oid = p.pronamespace where p.oid = p_function::oid;
  v_fault := case
    when v_function.oid is null then 'there is no such function'
    when v_function.proargtypes <> '3802 3802'::oidvector or v_function.prorettype <> 'jsonb'::regtype or v_function.prokind <> 'f'
         or v_function.proretset then 'it must be a function (jsonb, jsonb) returning jsonb'
    when v_function.provolatile <> 'i' then 'it must be IMMUTABLE: the same value and operand always give the same result'
    -- it would run with its owner's rights on behalf of every writer
    when v_function.prosecdef then 'it must not be SECURITY DEFINER'
    when v_function.nspname like E'pg\\_temp%' then 'it must not be temporary'
    when v_function.nspname = 'pgstate' then 'the functions of pgstate itself are no reducers'
    when not has_schema_privilege('pgstate_api', v_function.pronamespace, 'usage')
         or not has_function_privilege('pgstate_api', v_function.oid, 'execute')
      then 'pgstate_api must be able to call it: GRANT USAGE ON SCHEMA and EXECUTE ON FUNCTION'
  end;
  if v_fault is not null then
    raise exception using errcode = 'PS007', message = 'this function cannot be a reducer: ' || v_fault;
  end if;
  -- under the same name only what it was, or a mended body: history keeps full values of own reducers
  insert into pgstate.reducer as r (name, function_schema, function_name, digest, registered_by, registered_at)
  values (p_name, v_function.nspname, v_function.proname, pgstate._function_digest(v_function.oid), p_actor.name, pgstate._now())
      on conflict on constraint reducer_pkey do update
     set function_schema = excluded.function_schema, function_name = excluded.function_name, digest = excluded.digest,
         registered_by = excluded.registered_by, registered_at = excluded.registered_at;
  perform pgstate._audit(p_actor, 'register_reducer', null, jsonb_build_object('name', p_name, 'function', p_function::text));
end
$$;
comment on function pgstate._register_reducer(pgstate._actor, text, regprocedure) is 'Internal: registers a reducer.';
