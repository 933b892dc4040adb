create or replace view pgstate.steps with (security_invoker = true) as
select r.key, s.id as step, s.name, s.kind, s.state, s.position, case when s.type = 'json' then pgstate._json_of(s.data) end as result,
       case s.type when 'error' then pgstate._text_of(s.data) when 'timeout' then 'no signal in time' end collate "C" as error,
       s.attempts, s.started_at, s.finished_at, s.due_at, s.token
  from pgstate.step s join pgstate.run r on r.id = s.run_id join pgstate.entry e on e.key = r.key
 where e.live and (e.expires_at is null or e.expires_at > pgstate._now());
comment on view pgstate.steps is 'Steps of runs: what is recorded is not done again.';
comment on column pgstate.steps.key is 'The run.';
comment on column pgstate.steps.step is 'The name, with #n for its nth occurrence from the second on, and [i] for the ith element of a map.';
comment on column pgstate.steps.name is 'The name.';
comment on column pgstate.steps.kind is 'step, map, sleep, signal, child, now or undo.';
comment on column pgstate.steps.state is 'pending, done or failed.';
comment on column pgstate.steps.position is 'The how many-eth step of the code it is; elements of a map share one.';
comment on column pgstate.steps.result is 'What it returned, where that is JSON.';
comment on column pgstate.steps.error is 'What it failed with.';
comment on column pgstate.steps.attempts is 'How often it was tried by who finished it.';
comment on column pgstate.steps.started_at is 'When it began, for the last time.';
comment on column pgstate.steps.finished_at is 'When it was recorded; null while it is pending.';
comment on column pgstate.steps.due_at is 'Until when it sleeps, or waits for a signal.';
comment on column pgstate.steps.token is 'Fencing token of the worker that recorded it.';
