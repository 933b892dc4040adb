-- Run as the owner. The role that installs is agent admin with all rights, so that a quick start works.
insert into pgstate.install (identity, table_oid, timeline) values (pgstate._identity(), 'pgstate.install'::regclass, pgstate._timeline()) on conflict do nothing;
insert into pgstate.sweep (delay) values ('0') on conflict do nothing;
insert into pgstate.thinning (older, every)
select t.* from (values (interval '1 day', interval '1 minute'), ('30 days', '1 hour')) t where not exists (select from pgstate.thinning);
insert into pgstate.agent (name, root, trust) values ('admin', true, 'operator') on conflict do nothing;
insert into pgstate.login (login, agent_id, root) select session_user, a.id, true from pgstate.agent a where a.name = 'admin' on conflict do nothing;
insert into pgstate.access_grant (agent_id, subtree, "right", granted_by)
select a.id, '**', r, 'admin' from pgstate.agent a cross join unnest(array['read', 'write', 'admin']) r where a.name = 'admin'
    on conflict do nothing;
select pgstate._fold_grants(a.id) from pgstate.agent a;
select pgstate._settle_identity();
