-- Everything outside the schema that goes when it goes.
with own(classid, objid) as (
  select 'pg_class'::regclass, c.oid from pg_class c where c.relnamespace = 'pgstate'::regnamespace
  union all select 'pg_type'::regclass, t.oid from pg_type t where t.typnamespace = 'pgstate'::regnamespace
  union all select 'pg_proc'::regclass, p.oid from pg_proc p where p.pronamespace = 'pgstate'::regnamespace
), depending as (
  select distinct case when r.oid is null then d.classid else 'pg_class'::regclass end as classid,
         coalesce(r.ev_class, d.objid) as objid, case when r.oid is null then d.objsubid else 0 end as objsubid
    from own o join pg_depend d on d.refclassid = o.classid and d.refobjid = o.objid and d.deptype in ('n', 'a')
    left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
)
select pg_describe_object(d.classid, d.objid, d.objsubid) as what
  from depending d
 where (d.classid in ('pg_class'::regclass, 'pg_type'::regclass, 'pg_proc'::regclass, 'pg_constraint'::regclass)
        or d.classid = 'pg_attrdef'::regclass and exists (
          select from pg_attrdef a join pg_class c on c.oid = a.adrelid
           where a.oid = d.objid and c.relnamespace <> 'pgstate'::regnamespace))
   and not exists (select from own o where o.classid = d.classid and o.objid = d.objid)
   and not exists (select from pg_class c where d.classid = 'pg_class'::regclass and c.oid = d.objid
                      and c.relnamespace in ('pgstate'::regnamespace, 'pg_toast'::regnamespace))
   and not exists (select from pg_constraint k where d.classid = 'pg_constraint'::regclass and k.oid = d.objid
                      and k.connamespace = 'pgstate'::regnamespace)
 order by 1
