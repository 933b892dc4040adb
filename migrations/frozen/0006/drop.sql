-- Back to 0005.
set local role pgstate_owner;

-- Views that have fewer columns there, and that clear.sql has left since something of yours stands on them or was granted
-- on them. Columns cannot be taken from a view: it is made anew, with what was granted; what stands on it would go along.
do $views$
declare
  v_view record;
  v_object text;
  v_grants text[];
begin
  for v_view in
    select c.oid, c.oid::regclass::text as name, n.columns, c.relacl, c.relowner
      from (values ('agents', '{suspended_at}'::text[])) n (name, columns)
      join pg_class c on c.relname = n.name and c.relnamespace = 'pgstate'::regnamespace and c.relkind = 'v'
  loop
    select coalesce(r.ev_class::regclass::text, pg_describe_object(d.classid, d.objid, d.objsubid)) into v_object
      from pg_depend d
      join pg_class c on c.oid = v_view.oid
      left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
     where d.deptype = 'n' and (d.refclassid, d.refobjid) in (('pg_class'::regclass, c.oid), ('pg_type'::regclass, c.reltype))
       and r.ev_class is distinct from c.oid
     limit 1;
    if v_object is not null then
      raise exception using errcode = 'dependent_objects_still_exist',
        message = format('%s has fewer columns in 0005, and %s stands on it', v_view.name, v_object),
        hint = 'Drop what stands on it, go back, and make it anew.';
    end if;
    v_grants := array(
      select format('grant %s on %s to %s%s', a.privilege_type, v_view.name,
                    case a.grantee when 0 then 'public' else a.grantee::regrole::text end, case when a.is_grantable then ' with grant option' else '' end)
        from aclexplode(v_view.relacl) a where a.grantee <> v_view.relowner);
    execute (
      select format('create view pgstate._made_anew as select %s', string_agg(format('null::%s%s as %I', format_type(a.atttypid, a.atttypmod),
               case when a.attcollation <> t.typcollation then ' collate ' || a.attcollation::regcollation::text end, a.attname), ', ' order by a.attnum))
        from pg_attribute a join pg_type t on t.oid = a.atttypid
       where a.attrelid = v_view.oid and a.attnum > 0 and a.attname <> all (v_view.columns));
    execute format('drop view %s', v_view.name);
    execute format('alter view pgstate._made_anew rename to %I', split_part(v_view.name, '.', 2));
    foreach v_object in array v_grants loop
      execute v_object;
    end loop;
  end loop;
end
$views$;

-- Suspended agents. What they were granted, by groups too, must not give anything again.
delete from pgstate.access_grant g using pgstate.agent a where a.id = g.agent_id and a.suspended_at is not null;
delete from pgstate.group_member m using pgstate.agent a where a.id = m.agent_id and a.suspended_at is not null;
update pgstate.reach r set folded_until = null from pgstate.agent a where a.id = r.agent_id and a.suspended_at is not null;
update pgstate.login l set folded_until = null from pgstate.agent a where a.id = l.agent_id and a.suspended_at is not null;
alter table pgstate.agent drop column suspended_at, drop column suspended_by;
alter type pgstate.agent_row drop attribute suspended_at;
drop type pgstate.open_transaction, pgstate.quarantined;
comment on column pgstate.version.meta is 'ttl: the time to live, of an entry that touch() gave more time; sources: the versions that its value derives from; endorsed_by: who raised its trust, with the version endorsed, its writer, and from what trust.';
comment on type pgstate.effective_row is 'A grant or denial as it holds for one agent: {agent} is its name; state is in force, denied, partly denied or ended; through: the group that has it, null for its own.';

-- 0005 makes harden() with this type; its grants take it from PUBLIC again.
grant usage on type pgstate.harden_step to public;

-- threads
alter type pgstate._stored drop attribute version, drop attribute value, drop attribute at;
comment on type pgstate._stored is 'Internal: what became of a checkpoint that was to be stored.';
-- Keys of encryption.
alter table pgstate.chunk drop column moved_to;
drop type pgstate.sealed_row, pgstate.sealed_part, pgstate.sealed_count;
