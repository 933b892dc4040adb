-- For a schema that is somebody else's: everything in it goes, and the rights on it; the schema stays.
do $empty$
declare
  v_object record;
  v_role text;
begin
  for v_object in
    select c.oid, pg_catalog.format('drop %s %s cascade', case c.relkind when 'v' then 'view' else 'table' end) as statement,
           'pg_catalog.pg_class' as catalogue, c.relowner::pg_catalog.regrole::text as owner
      from pg_catalog.pg_class c
     where c.relnamespace = 'pgstate'::pg_catalog.regnamespace and c.relkind in ('r', 'p', 'v')
       and c.relname <> 'alembic_version'
    union all
    select p.oid, 'drop routine %s cascade', 'pg_catalog.pg_proc', p.proowner::pg_catalog.regrole::text
      from pg_catalog.pg_proc p where p.pronamespace = 'pgstate'::pg_catalog.regnamespace
    union all
    select t.oid, 'drop type %s cascade', 'pg_catalog.pg_type', t.typowner::pg_catalog.regrole::text
      from pg_catalog.pg_type t left join pg_catalog.pg_class c on c.oid = t.typrelid
     where t.typnamespace = 'pgstate'::pg_catalog.regnamespace and (t.typtype in ('d', 'r') or c.relkind = 'c')
    union all
    select c.oid, 'drop sequence %s cascade', 'pg_catalog.pg_class', c.relowner::pg_catalog.regrole::text
      from pg_catalog.pg_class c where c.relnamespace = 'pgstate'::pg_catalog.regnamespace and c.relkind = 'S'
  loop
    -- what went along with an object before it has no name any more
    if v_object.owner in ('pgstate_owner', 'pgstate_api') then
      execute pg_catalog.format('set local role %s', v_object.owner);
    else
      reset role;
    end if;
    declare
      v_name text;
    begin
      v_name := case v_object.catalogue
        when 'pg_catalog.pg_class' then (select c.oid::pg_catalog.regclass::text from pg_catalog.pg_class c where c.oid = v_object.oid)
        when 'pg_catalog.pg_proc' then (select p.oid::pg_catalog.regprocedure::text from pg_catalog.pg_proc p where p.oid = v_object.oid
          and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                             and d.objid = p.oid and d.deptype = 'i'))
        else (select t.oid::pg_catalog.regtype::text from pg_catalog.pg_type t where t.oid = v_object.oid) end;
      if v_name is not null then
        execute pg_catalog.format(v_object.statement, v_name);
      end if;
    end;
  end loop;
  reset role;
  foreach v_role in array array['pgstate_reader', 'pgstate_agent', 'pgstate_api', 'pgstate_owner'] loop
    execute pg_catalog.format('revoke all on schema pgstate from %I cascade', v_role);
    begin
      execute pg_catalog.format('drop role %I', v_role);
    exception when dependent_objects_still_exist or insufficient_privilege or undefined_object or object_in_use then
      null;
    end;
  end loop;
end
$empty$;
