-- For a schema that is somebody else's: everything in it goes but Alembic's table, and the rights on it; the schema stays.
do $empty$
declare
  v_object record;
  v_name text;
  v_role text;
begin
  -- Tables first, then what is left of functions and types: what goes along with another object has no name any more.
  for v_object in
    select o.kind, o.oid, pg_catalog.pg_get_userbyid(o.owner) as owner from (
      select case c.relkind when 'v' then 'view' else 'table' end as kind, 1 as place, c.oid, c.relowner as owner
        from pg_catalog.pg_class c
       where c.relnamespace = 'pgstate'::pg_catalog.regnamespace and c.relkind in ('r', 'p', 'v') and c.relname <> 'alembic_version'
      union all
      select 'type', 2, t.oid, t.typowner
        from pg_catalog.pg_type t left join pg_catalog.pg_class c on c.oid = t.typrelid
       where t.typnamespace = 'pgstate'::pg_catalog.regnamespace and (t.typtype in ('d', 'r', 'e') or c.relkind = 'c')
      union all
      select 'routine', 3, p.oid, p.proowner from pg_catalog.pg_proc p where p.pronamespace = 'pgstate'::pg_catalog.regnamespace
      union all
      select 'sequence', 3, c.oid, c.relowner from pg_catalog.pg_class c
       where c.relnamespace = 'pgstate'::pg_catalog.regnamespace and c.relkind = 'S'
    ) o order by o.place, o.oid
  loop
    v_name := case v_object.kind
      when 'type' then (select t.oid::pg_catalog.regtype::text from pg_catalog.pg_type t where t.oid = v_object.oid)
      when 'routine' then (select p.oid::pg_catalog.regprocedure::text from pg_catalog.pg_proc p where p.oid = v_object.oid)
      else (select c.oid::pg_catalog.regclass::text from pg_catalog.pg_class c where c.oid = v_object.oid) end;
    if v_name is not null then
      reset role;
      if v_object.owner in ('pgstate_owner', 'pgstate_api') then
        execute pg_catalog.format('set local role %I', v_object.owner);
      end if;
      execute pg_catalog.format('drop %s %s cascade', v_object.kind, v_name);
    end if;
  end loop;
  reset role;
  foreach v_role in array array['pgstate_reader', 'pgstate_agent', 'pgstate_api', 'pgstate_owner'] loop
    execute pg_catalog.format('revoke all on schema pgstate from %I', v_role);
    begin
      execute pg_catalog.format('drop role %I', v_role);
    exception when dependent_objects_still_exist or insufficient_privilege or undefined_object or object_in_use then
      null;
    end;
  end loop;
end
$empty$;
