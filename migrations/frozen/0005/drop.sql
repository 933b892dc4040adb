-- Back to 0004.
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
      from (values ('entries', '{trust}'::text[]), ('versions', '{trust}'), ('activity', '{trust}'), ('agents', '{trust}'),
                   ('grants', '{deny,until}'), ('policies', '{guard,trust}')) n (name, columns)
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
        message = format('%s has fewer columns in 0004, and %s stands on it', v_view.name, v_object),
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

-- The audit trail.
drop table pgstate.audit_pending, pgstate.audit_link, pgstate.audit_chain, pgstate.audit;
drop type pgstate.audit_row, pgstate.audit_checked;
alter table pgstate.install drop constraint install_audit_keep_range, drop column audit_keep;
-- Runs that sleep wait with a worker again.
drop index pgstate.run_asleep_idx;
drop index pgstate.run_ready_idx;
update pgstate.run set ready_at = begun_at where ready_at is null;
alter table pgstate.run
  alter ready_at set not null,
  drop asleep,
  drop awaits;
create index run_ready_idx on pgstate.run (name, priority desc, ready_at, id) where state = 'open' and key is not null and name is not null;
comment on column pgstate.run.ready_at is 'No worker takes it before.';
-- Threads: saves that are gathered.
drop type pgstate.save_outcome;

-- Denials, grants that end, groups. A grant that was to end must not become one for ever.
delete from pgstate.access_grant g
 where g.deny or g.until is not null or exists (select from pgstate.agent a where a.id = g.agent_id and a.grouping);
drop table pgstate.group_member;
delete from pgstate.agent a where a.grouping;
drop type pgstate._grant_of, pgstate.group_row, pgstate.effective_row, pgstate.access_reason;
alter type pgstate.grant_row drop attribute deny, drop attribute until;
alter table pgstate.reach drop column folded_until;
alter table pgstate.login drop column folded_until;
alter table pgstate.access_grant drop constraint access_grant_pkey, drop column deny, drop column until,
  add constraint access_grant_pkey primary key (agent_id, subtree, "right");
comment on column pgstate.access_grant.agent_id is 'Who may.';
alter table pgstate.agent drop column grouping;

-- Quotas.
drop table pgstate.usage, pgstate.quota;
drop type pgstate.quota_row, pgstate._used;
alter table pgstate.reach drop column quota;
alter table pgstate.login drop column quota;
alter type pgstate._actor drop attribute quota;
comment on type pgstate._actor is 'Internal: the acting agent with its cached rights; in a write also whether its lane is ready, or what the lane kept; horizon for reads of the feed.';
-- Trust.
alter table pgstate.version drop column trust;
comment on column pgstate.version.meta is 'ttl: the time to live, of an entry that touch() gave more time.';
alter table pgstate.entry drop column trust;
alter table pgstate.login drop column trust;
alter table pgstate.reach drop column trust;
alter table pgstate.agent drop column trust;
delete from pgstate.policy
 where num_nonnulls(reducer, ttl, keep_versions, keep_age, keep_everything, value_limit, schema, max_attempts, backoff, backoff_limit, dead_letter, claimed_writes, guard) = 0;
alter table pgstate.policy drop constraint policy_sets_something;
alter table pgstate.policy drop column trust;
alter type pgstate.agent_row drop attribute trust;
alter type pgstate.policy_row drop attribute trust;
alter type pgstate._feed_row drop attribute trust;
alter type pgstate.change drop attribute trust;
alter type pgstate.entry_row drop attribute trust;
alter type pgstate.entry_item drop attribute trust;
alter type pgstate.listed drop attribute trust;
alter type pgstate.version_row drop attribute trust;
alter type pgstate.past_row drop attribute trust;
alter type pgstate.past_listed drop attribute trust;
alter type pgstate._slot drop attribute trust, drop attribute origin_trust, drop attribute origin_meta, drop attribute origin_fault;
alter type pgstate._policy drop attribute trust;
alter type pgstate._actor drop attribute trust;
drop type pgstate._origin;
drop type pgstate.trust;

-- Guards against secrets.
alter type pgstate.policy_row drop attribute guard;
alter type pgstate._policy drop attribute guard;
-- a policy that sets nothing else
delete from pgstate.policy
 where num_nonnulls(reducer, ttl, keep_versions, keep_age, keep_everything, value_limit, schema, max_attempts, backoff, backoff_limit, dead_letter, claimed_writes) = 0;
alter table pgstate.policy drop constraint policy_guard_known;
alter table pgstate.policy add constraint policy_sets_something check (num_nonnulls(reducer, ttl, keep_versions, keep_age, keep_everything, value_limit, schema, max_attempts,
  backoff, backoff_limit, dead_letter, claimed_writes) > 0);
alter table pgstate.policy drop column guard;

-- Tickets.
drop table pgstate.ticket_key;
alter table pgstate.login drop column tickets;

drop type pgstate.harden_step;
-- Credentials.
drop table pgstate.credential_grant;
drop type pgstate.credential_row;
