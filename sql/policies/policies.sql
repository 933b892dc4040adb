-- The second wall: under the functions, which check first, policies bind pgstate_api itself. They compare the key with
-- the acting agent's cached ranges; the scalar subquery is computed once per statement. A lone put has six, a fifth of its time, so nothing that
-- is inserted is RETURNING what is known (it is checked once more), and equal expressions of the SELECT and UPDATE policies of
-- a table are folded into one: so an UPDATE sees what a SELECT sees, its new row must be writable, and the key, which alone
-- says what is writable, cannot be updated. For readers, a union with '{}' detoasts what the function returns once.
alter table pgstate.install enable row level security;
alter table pgstate.agent enable row level security;
alter table pgstate.login enable row level security;
alter table pgstate.delegation enable row level security;
alter table pgstate.access_grant enable row level security;
alter table pgstate.reach enable row level security;
alter table pgstate.watcher enable row level security;
alter table pgstate.entry enable row level security;
alter table pgstate.version enable row level security;
alter table pgstate.claim enable row level security;
alter table pgstate.claim_log enable row level security;
alter table pgstate.lane enable row level security;
alter table pgstate.op enable row level security;
alter table pgstate.policy enable row level security;
alter table pgstate.reducer enable row level security;
alter table pgstate.mark enable row level security;
alter table pgstate.sweep enable row level security;
alter table pgstate.review enable row level security;
alter table pgstate.thinning enable row level security;

create policy entry_see on pgstate.entry for select to pgstate_api using ((select r.touches from pgstate._acting_reach r) @> key);
create policy entry_add on pgstate.entry for insert to pgstate_api with check ((select r.writes from pgstate._acting_reach r) @> key);
create policy entry_change on pgstate.entry for update to pgstate_api
  using ((select r.touches from pgstate._acting_reach r) @> key) with check ((select r.writes from pgstate._acting_reach r) @> key);
create policy entry_read on pgstate.entry for select to pgstate_reader using ((select pgstate._reachable('read') + '{}') @> key);

create policy version_see on pgstate.version for select to pgstate_api using ((select r.touches from pgstate._acting_reach r) @> key);
create policy version_add on pgstate.version for insert to pgstate_api with check ((select r.writes from pgstate._acting_reach r) @> key);
create policy version_read on pgstate.version for select to pgstate_reader using ((select pgstate._reachable('read') + '{}') @> key);

create policy claim_see on pgstate.claim for select to pgstate_api using ((select r.touches from pgstate._acting_reach r) @> key);
create policy claim_take on pgstate.claim for insert to pgstate_api with check ((select r.writes from pgstate._acting_reach r) @> key);
create policy claim_change on pgstate.claim for update to pgstate_api
  using ((select r.touches from pgstate._acting_reach r) @> key) with check ((select r.writes from pgstate._acting_reach r) @> key);
create policy claim_end on pgstate.claim for delete to pgstate_api using ((select r.writes from pgstate._acting_reach r) @> key);
create policy claim_read on pgstate.claim for select to pgstate_reader using ((select pgstate._reachable('read') + '{}') @> key);

-- The functions reach the tables of threads and runs as their owner, having asked for the key; readers see what belongs to keys they read.
-- Each policy names a function of ours, or an internal view, by which clear.sql knows it.
create policy thread_read on pgstate.thread for select to pgstate_reader using ((select pgstate._reachable('read') + '{}') @> key);
create policy checkpoint_read on pgstate.checkpoint for select to pgstate_reader using (thread_id in (select t.id from pgstate.thread t where (select pgstate._reachable('read') + '{}') @> t.key));
create policy run_read on pgstate.run for select to pgstate_reader using ((select pgstate._reachable('read') + '{}') @> key);
create policy step_read on pgstate.step for select to pgstate_reader using (run_id in (select r.id from pgstate.run r where (select pgstate._reachable('read') + '{}') @> r.key));
