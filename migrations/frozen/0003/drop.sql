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
