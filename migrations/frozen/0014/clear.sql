-- Run by every revision after the first, before it changes tables, and again when it is undone: removes what code.sql makes
-- anew (functions, triggers, policies, views, and the grants on tables), whatever the revision before made of it. By
-- catalogue, so that nothing is left over of a function that is gone or has other parameters by now. Triggers that run
-- others' functions, and policies that use none of these and no internal view, are somebody else's and stay. So does a view that something of
-- theirs stands on, or that they granted to somebody, as an empty one with its columns until code.sql replaces it; what
-- they built upon a function is not taken along: the run fails and names it.
do $clear$
declare
  v_object record;
begin
  set local role pgstate_owner;
  for v_object in
    select pg_catalog.format('drop trigger %I on %s', t.tgname, t.tgrelid::pg_catalog.regclass) as statement
      from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid
      join pg_catalog.pg_proc f on f.oid = t.tgfoid
     where c.relnamespace = 'pgstate'::pg_catalog.regnamespace and f.pronamespace = c.relnamespace and not t.tgisinternal
    union all
    select pg_catalog.format('drop policy %I on %s', p.polname, p.polrelid::pg_catalog.regclass)
      from pg_catalog.pg_policy p join pg_catalog.pg_class c on c.oid = p.polrelid
     where c.relnamespace = 'pgstate'::pg_catalog.regnamespace and exists (
       select from pg_catalog.pg_depend d join pg_catalog.pg_proc f on f.oid = d.refobjid
        where d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass and d.objid = p.oid
          and d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass and f.pronamespace = c.relnamespace
       union all
       select from pg_catalog.pg_depend d join pg_catalog.pg_class v on v.oid = d.refobjid
        where d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass and d.objid = p.oid
          and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and v.relnamespace = c.relnamespace and v.relkind = 'v' and v.relname ~ '^_')
    union all
    select pg_catalog.format('revoke all on %s %s from pgstate_api, pgstate_agent, pgstate_reader',
                             case c.relkind when 'S' then 'sequence' else 'table' end, c.oid::pg_catalog.regclass)
      from pg_catalog.pg_class c
     where c.relnamespace = 'pgstate'::pg_catalog.regnamespace and c.relkind in ('r', 'p', 'v', 'S')
       and c.relowner = current_user::pg_catalog.regrole
  loop
    execute v_object.statement;
  end loop;
  for v_object in
    -- one that reads another is younger
    select c.oid, c.reltype, c.oid::pg_catalog.regclass::text as name from pg_catalog.pg_class c
     where c.relnamespace = 'pgstate'::pg_catalog.regnamespace and c.relkind = 'v' order by c.oid desc
  loop
    if exists (
      select from pg_catalog.pg_depend d
       where d.deptype = 'n'
         and (d.refclassid, d.refobjid) in (('pg_catalog.pg_class'::pg_catalog.regclass, v_object.oid),
                                            ('pg_catalog.pg_type'::pg_catalog.regclass, v_object.reltype))
         and not exists (select from pg_catalog.pg_rewrite r
                          where d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and r.oid = d.objid and r.ev_class = v_object.oid)
    ) or exists (
      select from pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a
       where c.oid = v_object.oid and a.grantee <> c.relowner
    ) then
      execute pg_catalog.format('create or replace view %s as select %s', v_object.name, (
        select pg_catalog.string_agg(pg_catalog.format('null::%s%s as %I', pg_catalog.format_type(a.atttypid, a.atttypmod),
            case when a.attcollation <> t.typcollation then ' collate ' || a.attcollation::pg_catalog.regcollation::text end, a.attname), ', ' order by a.attnum)
          from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
         where a.attrelid = v_object.oid and a.attnum > 0));
    else
      execute pg_catalog.format('drop view %s', v_object.name);
    end if;
  end loop;
  for v_object in
    select p.oid::pg_catalog.regprocedure::text as name, p.proowner::pg_catalog.regrole::text as owner
      from pg_catalog.pg_proc p
     where p.pronamespace = 'pgstate'::pg_catalog.regnamespace
       -- not the constructors of a range type, which belong to it
       and not exists (
         select from pg_catalog.pg_depend d
          where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'i')
  loop
    if v_object.owner in ('pgstate_owner', 'pgstate_api') then
      execute pg_catalog.format('set local role %s', v_object.owner);
    else
      reset role;
      if not pg_catalog.pg_has_role(current_user, v_object.owner, 'USAGE') then
        raise exception 'pgstate was installed here by the role %', v_object.owner
          using errcode = 'insufficient_privilege', hint = 'Migrate as that role, or grant it to this one.';
      end if;
    end if;
    execute pg_catalog.format('drop routine %s', v_object.name);
  end loop;
  reset role;
end
$clear$;
