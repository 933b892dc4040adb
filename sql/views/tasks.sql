create or replace view pgstate.tasks with (security_invoker = true) as
select e.key, s.state, e.priority, case when s.state = 'claimed' then c.holder end as holder,
       case when s.state = 'claimed' then c.lease_until end as lease_until, case when s.state = 'claimed' then c.lease_until - pgstate._now() end as lease_left,
       coalesce(c.attempts, 0) as attempts, c.error,
       case when s.state = 'waiting' and greatest(e.not_before, c.retry_at) > pgstate._now() then greatest(e.not_before, c.retry_at) end as next_try,
       e.version, e.created_at, e.updated_at
  from pgstate.entry e
  left join pgstate.claim c on c.key = e.key
  cross join lateral (
    select case when e.value is null then
             case when (select v.op from pgstate.version v where v.key = e.key and v.version = e.version) = 'complete' then 'finished' end
           when e.expires_at <= pgstate._now() then null
           when c.lease_until > pgstate._now() then 'claimed'
           when c.retry_at = 'infinity' then 'failed'
           else 'waiting' end as state) s
 where e.kind = 'value' and s.state is not null;
comment on view pgstate.tasks is 'Entries as pieces of work: which are waiting, claimed, failed or finished.';
comment on column pgstate.tasks.key is 'The key.';
comment on column pgstate.tasks.state is 'waiting, claimed, failed (given up) or finished (completed).';
comment on column pgstate.tasks.priority is 'Higher ones are claimed first.';
comment on column pgstate.tasks.holder is 'The agent that holds it.';
comment on column pgstate.tasks.lease_until is 'When the claim ends unless it is renewed.';
comment on column pgstate.tasks.lease_left is 'How long that is still.';
comment on column pgstate.tasks.attempts is 'How often it was claimed; of a finished one that is not kept: 0.';
comment on column pgstate.tasks.error is 'What its last failure said.';
comment on column pgstate.tasks.next_try is 'When one that waits may be claimed; null for at once.';
comment on column pgstate.tasks.version is 'Number of the current version.';
comment on column pgstate.tasks.created_at is 'When it came into being.';
comment on column pgstate.tasks.updated_at is 'When it was last written; for a finished one, when it was completed.';
