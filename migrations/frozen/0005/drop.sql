-- Back to 0004.
set local role pgstate_owner;

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
