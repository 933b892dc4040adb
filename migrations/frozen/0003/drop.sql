-- Back to 0002.
set local role pgstate_owner;
alter type pgstate._actor drop attribute horizon;
comment on type pgstate._actor is 'Internal: the acting agent with its cached rights; in a write also whether its lane is ready, or what the lane kept.';
drop type pgstate._look;
drop type pgstate._feed_row;

-- Points of the feed are no longer thinned. Keys that were purged start from 1 again: 0002 has nothing to keep it from.
drop table pgstate.thinning;
drop sequence pgstate.version_floor;
drop type pgstate._purged;

-- What tells of restores; 0002 knows no horizon of a past before one.
update pgstate.install i set horizon = null where i.horizon_epoch < i.epoch;
alter table pgstate.install
  drop column horizon_epoch,
  drop column table_oid;
update pgstate.reducer r
   set digest = sha256(convert_to(row(p.prolang, p.provolatile, p.prosecdef, p.proisstrict, p.prorettype, p.proconfig, p.probin,
                                      coalesce(pg_get_function_sqlbody(p.oid), p.prosrc))::text, 'UTF8'))
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
 where n.nspname = r.function_schema and p.proname = r.function_name and p.proargtypes = '3802 3802'::oidvector
   and r.digest = sha256(convert_to(row(l.lanname, p.provolatile, p.prosecdef, p.proisstrict, p.prorettype, p.proconfig, p.probin,
                                        coalesce(pg_get_function_sqlbody(p.oid), p.prosrc))::text, 'UTF8'));

-- Search
drop table pgstate.embedding_wanted, pgstate.embedding, pgstate.search_doc, pgstate.search_build, pgstate.search_rule, pgstate.vector_index;
drop type pgstate._search_part;
drop type pgstate.embedded;
drop type pgstate.found;
drop type pgstate.search_row;
drop type pgstate.unembedded_row;
drop type pgstate.vectors_row;
-- What an older client needs to know.
alter type pgstate.about drop attribute serves;

-- Comments.
comment on column pgstate.former_agent.name is null;
comment on column pgstate.former_agent.dropped_at is null;
comment on column pgstate.install.singleton is null;
comment on column pgstate.install.installed_at is null;
comment on column pgstate.agent.id is null;
comment on column pgstate.agent.name is null;
comment on column pgstate.agent.created_at is null;
comment on sequence pgstate.agent_id_seq is null;
comment on column pgstate.login.login is null;
comment on column pgstate.login.agent_id is null;
comment on column pgstate.login.gateway is null;
comment on column pgstate.login.created_at is null;
comment on column pgstate.login.agent_name is null;
comment on column pgstate.login.writes is null;
comment on column pgstate.login.touches is null;
comment on column pgstate.delegation.login is null;
comment on column pgstate.delegation.agent_id is null;
comment on column pgstate.delegation.created_at is null;
comment on column pgstate.access_grant.agent_id is null;
comment on column pgstate.access_grant.subtree is null;
comment on column pgstate.access_grant."right" is null;
comment on column pgstate.access_grant.granted_by is null;
comment on column pgstate.access_grant.granted_at is null;
comment on column pgstate.reach.agent_id is null;
comment on column pgstate.reach.reads is null;
comment on column pgstate.reach.writes is null;
comment on column pgstate.reach.admins is null;
comment on column pgstate.watcher.channel is null;
comment on column pgstate.watcher.login is null;
comment on column pgstate.watcher.agent_ids is null;
comment on column pgstate.watcher.ranges is null;
comment on column pgstate.watcher.expires_at is null;
comment on column pgstate.lane.lane is null;
comment on column pgstate.lane.agent_id is null;
comment on column pgstate.lane.turn is null;
comment on column pgstate.lane.outcome is null;
comment on column pgstate.lane.at is null;
comment on column pgstate.op.agent_id is null;
comment on column pgstate.op.op_id is null;
comment on column pgstate.op.request_hash is null;
comment on column pgstate.op.outcome is null;
comment on column pgstate.op.at is null;
comment on column pgstate.policy.subtree is null;
comment on column pgstate.policy.nearness is null;
comment on column pgstate.policy.reducer is null;
comment on column pgstate.policy.keep_everything is null;
comment on column pgstate.policy.value_limit is null;
comment on column pgstate.policy.set_by is null;
comment on column pgstate.policy.set_at is null;
comment on column pgstate.reducer.name is null;
comment on column pgstate.reducer.function_schema is null;
comment on column pgstate.reducer.function_name is null;
comment on column pgstate.reducer.registered_by is null;
comment on column pgstate.reducer.registered_at is null;
comment on column pgstate.mark.at is null;
comment on column pgstate.mark.epoch is null;
comment on column pgstate.sweep.delay is null;
comment on column pgstate.sweep.epoch is null;
comment on column pgstate.sweep.xid is null;
comment on column pgstate.sweep.seq is null;
comment on column pgstate.review.subtree is null;
comment on column pgstate.review.after is null;
comment on column pgstate.review.asked_at is null;
comment on column pgstate.entry.key is null;
comment on column pgstate.entry.kind is null;
comment on column pgstate.entry.value is null;
comment on column pgstate.entry.created_at is null;
comment on column pgstate.entry.updated_at is null;
comment on column pgstate.entry.expires_at is null;
comment on column pgstate.entry.priority is null;
comment on column pgstate.entry.not_before is null;
comment on column pgstate.entry.tail_bytes is null;
comment on column pgstate.entry.full_bytes is null;
comment on column pgstate.entry.full_type is null;
comment on column pgstate.version.key is null;
comment on column pgstate.version.version is null;
comment on column pgstate.version.op is null;
comment on column pgstate.version.value is null;
comment on column pgstate.version.writer is null;
comment on column pgstate.version.via is null;
comment on column pgstate.version.at is null;
comment on column pgstate.version.meta is null;
comment on sequence pgstate.version_seq is null;
comment on column pgstate.claim.key is null;
comment on column pgstate.claim.holder is null;
comment on column pgstate.claim.holder_id is null;
comment on column pgstate.claim.lease_until is null;
comment on column pgstate.claim.claimed_at is null;
comment on sequence pgstate.claim_token_seq is null;

-- Claims. Policies that set nothing else than what 0002 knows go.
alter table pgstate.claim
  drop column retry_at,
  drop column error,
  drop column released;
drop table pgstate.claim_log;
delete from pgstate.policy p
 where num_nonnulls(p.reducer, p.ttl, p.keep_versions, p.keep_age, p.keep_everything, p.value_limit, p.schema) = 0;
alter table pgstate.policy
  drop constraint policy_sets_something,
  drop constraint policy_max_attempts_positive,
  drop column max_attempts,
  drop column backoff,
  drop column backoff_limit,
  drop column dead_letter,
  drop column claimed_writes,
  add constraint policy_sets_something check (num_nonnulls(reducer, ttl, keep_versions, keep_age, keep_everything, value_limit, schema) > 0);
comment on table pgstate.policy is 'Rules for keys and subtrees: default reducer, default time to live, history kept, largest value, JSON Schema. The nearest subtree that sets one decides it.';
update pgstate.install i set policies = exists (select from pgstate.policy);
alter type pgstate.policy_row
  drop attribute max_attempts,
  drop attribute backoff,
  drop attribute backoff_limit,
  drop attribute dead_letter,
  drop attribute claimed_writes;
drop type pgstate._claim_rules;
drop type pgstate.claim_log_row;
drop type pgstate.claim_outcome;
drop type pgstate.task_row;

reset role;
comment on table pgstate.alembic_version is null;
comment on column pgstate.alembic_version.version_num is null;
