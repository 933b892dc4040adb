-- What people with SQL meet. security_invoker: a view of the owner's would go around row-level security.
create or replace view pgstate.entries with (security_invoker = true) as
select e.key, case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end as value,
       e.version, e.kind::text as kind, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, e.priority, e.not_before, e.trust::text as trust
  from pgstate.entry e
 where e.live and (e.expires_at is null or e.expires_at > pgstate._now());
comment on view pgstate.entries is 'What every key holds now; expired and deleted ones are not here.';
comment on column pgstate.entries.key is 'The key: segments joined by /, in byte order.';
comment on column pgstate.entries.value is 'The current value.';
comment on column pgstate.entries.version is 'Number of the current version; rises by one with every change and never restarts.';
comment on column pgstate.entries.kind is 'value, thread or run.';
comment on column pgstate.entries.writer is 'The agent that wrote the current version.';
comment on column pgstate.entries.via is 'The database login that the writer came through.';
comment on column pgstate.entries.created_at is 'When the key came into being, last.';
comment on column pgstate.entries.updated_at is 'When the current version was written.';
comment on column pgstate.entries.expires_at is 'When the entry becomes invisible; null for never.';
comment on column pgstate.entries.priority is 'Higher ones are claimed first.';
comment on column pgstate.entries.not_before is 'Not claimable before this time.';
comment on column pgstate.entries.trust is 'How far it can be relied on: external, agent, verified or operator; stamped by the server.';
