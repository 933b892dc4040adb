create or replace view pgstate.runs with (security_invoker = true) as
select e.key, r.name, case when r.state <> 'open' then r.state when c.lease_until > pgstate._now() then 'running' else 'waiting' end as state,
       e.value ->> 'step' as step, (e.value -> 'steps')::bigint as steps, case when c.lease_until > pgstate._now() then c.holder end as holder,
       case when c.lease_until > pgstate._now() then c.lease_until end as lease_until, r.priority, r.ready_at, r.deadline,
       e.value ->> 'error' as error, e.value ->> 'waits' as waits, r.code, r.parent, r.forked_from, r.forked_step, e.version,
       r.begun_at as created_at, e.updated_at, r.ended_at, e.expires_at
  from pgstate.run r join pgstate.entry e on e.key = r.key left join pgstate.claim c on c.key = r.key
 where e.live and (e.expires_at is null or e.expires_at > pgstate._now());
comment on view pgstate.runs is 'Durable executions; expired and deleted ones are not here.';
comment on column pgstate.runs.key is 'The key.';
comment on column pgstate.runs.name is 'The workflow, by which workers find it.';
comment on column pgstate.runs.state is 'waiting, running, done, failed or cancelled.';
comment on column pgstate.runs.step is 'The step that was finished last.';
comment on column pgstate.runs.steps is 'How many are finished.';
comment on column pgstate.runs.holder is 'The agent that works on it.';
comment on column pgstate.runs.lease_until is 'Until when, unless it renews its claim.';
comment on column pgstate.runs.priority is 'Higher ones are taken first.';
comment on column pgstate.runs.ready_at is 'No worker takes it before.';
comment on column pgstate.runs.deadline is 'When it fails unless it has ended; null for never.';
comment on column pgstate.runs.error is 'What it failed with.';
comment on column pgstate.runs.waits is 'The signal that it waits for.';
comment on column pgstate.runs.code is 'The version of the code.';
comment on column pgstate.runs.parent is 'The run that started it.';
comment on column pgstate.runs.forked_from is 'The run that it was forked from.';
comment on column pgstate.runs.forked_step is 'The step from which on it goes its own way.';
comment on column pgstate.runs.version is 'Version of the entry.';
comment on column pgstate.runs.created_at is 'When it was made.';
comment on column pgstate.runs.updated_at is 'When it was last changed.';
comment on column pgstate.runs.ended_at is 'When it ended.';
comment on column pgstate.runs.expires_at is 'When it becomes invisible unless it is changed before; null for never.';
