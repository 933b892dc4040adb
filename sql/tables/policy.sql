-- What holds below a subtree. A setting that is null here is that of the next subtree above which sets it.
create table pgstate.policy (
  subtree text collate "C" not null,
  -- how near: 2 for each segment, and 1 more for a policy on the key itself
  nearness int not null,
  reducer text collate "C",
  ttl interval,
  keep_versions int,
  keep_age interval,
  keep_everything boolean,
  value_limit int,
  schema jsonb,
  set_by text not null,
  set_at timestamptz not null default pg_catalog.now(),
  max_attempts int,
  backoff interval,
  backoff_limit interval,
  dead_letter text collate "C",
  claimed_writes boolean,
  guard text,
  trust pgstate.trust,
  constraint policy_pkey primary key (subtree),
  constraint policy_sets_something check (num_nonnulls(reducer, ttl, keep_versions, keep_age, keep_everything, value_limit, schema, max_attempts,
    backoff, backoff_limit, dead_letter, claimed_writes, guard, trust) > 0),
  constraint policy_keeps_one_way check (num_nonnulls(keep_versions, keep_age, keep_everything) <= 1),
  constraint policy_keep_everything_true check (keep_everything),
  constraint policy_keep_versions_positive check (keep_versions > 0),
  constraint policy_value_limit_positive check (value_limit > 0),
  constraint policy_max_attempts_positive check (max_attempts > 0),
  constraint policy_guard_known check (guard in ('refuse', 'redact', 'off'))
);
comment on table pgstate.policy is 'Rules for keys and subtrees: default reducer, default time to live, history kept, largest value, JSON Schema, and what becomes of claimed work. The nearest subtree that sets one decides it.';
comment on column pgstate.policy.ttl is 'Time to live of what is written without one; 0 for none.';
comment on column pgstate.policy.keep_versions is 'The newest versions of each key are kept, this many.';
comment on column pgstate.policy.keep_age is 'What was current within this time is kept.';
comment on column pgstate.policy.schema is 'Values written from now on must fit it.';
comment on column pgstate.policy.subtree is 'The key or subtree that it holds for.';
comment on column pgstate.policy.nearness is 'How near it is: 2 for each segment, 1 more for a policy on the key itself. The highest decides.';
comment on column pgstate.policy.reducer is 'What merge() applies unless told otherwise.';
comment on column pgstate.policy.keep_everything is 'History is not removed, whatever a subtree above says.';
comment on column pgstate.policy.value_limit is 'Largest value in bytes.';
comment on column pgstate.policy.set_by is 'The agent that set it.';
comment on column pgstate.policy.set_at is 'When it was set.';
comment on column pgstate.policy.max_attempts is 'Work that was claimed this often and not finished is given up.';
comment on column pgstate.policy.backoff is 'How long after its first failure work is not claimed again; doubled with each further one, up to backoff_limit.';
comment on column pgstate.policy.backoff_limit is 'The longest such time.';
comment on column pgstate.policy.dead_letter is 'Where work that was given up goes to, by the same path as below this subtree.';
comment on column pgstate.policy.claimed_writes is 'Claimed entries may be written without the token.';
comment on column pgstate.policy.guard is 'What becomes of writes that hold a secret: refuse, redact or off.';
comment on column pgstate.policy.trust is 'The most that what is written there is trusted.';
