-- What agents reach now. The cache of the grants is looked at until the next of them ends; from then on the grants
-- themselves are, until somebody folds them anew. Calls do not do that: it takes a lock on the agent's row, which it could keep
-- in an open transaction, and hold up its own revocation with.
-- Asked for one agent at a time, by its number or in a lateral subquery: a join with it reads all agents' rows.
create or replace view pgstate._reach as
select r.agent_id, r.reads, r.writes, r.admins, r.touches, r.folded_until, r.quota, r.trust
  from pgstate.reach r where r.folded_until is null or r.folded_until > pgstate._now()
union all
select r.agent_id, f.reads, f.writes, f.admins, f.touches, f.folded_until, r.quota, r.trust
  from pgstate.reach r cross join lateral pgstate._folded(r.agent_id) f where r.folded_until <= pgstate._now();
comment on view pgstate._reach is 'Internal: the reach of agents, as of now.';
comment on column pgstate._reach.agent_id is 'Whose it is.';
comment on column pgstate._reach.reads is 'Ranges of keys that it may read.';
comment on column pgstate._reach.writes is 'Ranges of keys that it may write.';
comment on column pgstate._reach.admins is 'Ranges of keys that it administers.';
comment on column pgstate._reach.touches is 'What it may read or write.';
comment on column pgstate._reach.folded_until is 'When the next of its grants ends.';
comment on column pgstate._reach.quota is 'There is a quota.';
comment on column pgstate._reach.trust is 'The most that what it writes is trusted.';
