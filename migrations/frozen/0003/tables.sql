-- From 0002.
set local role pgstate_owner;

-- Claims: failures, claims ended by force, policies about them.
alter table pgstate.claim
  add column retry_at timestamptz,
  add column error text,
  add column released int not null default 0;
comment on column pgstate.claim.retry_at is 'After a failure: not claimable before; infinity for one that is not tried again.';
comment on column pgstate.claim.error is 'What the last failure said.';
comment on column pgstate.claim.released is 'How many of the attempts were given back untried.';

-- tables/claim_log.sql
-- What operators did to other people's claims. Not in version: a claim that ends must break nobody's expect.
create table pgstate.claim_log (
  key text collate "C" not null,
  at timestamptz not null,
  token bigint not null,
  holder text,
  lease_until timestamptz,
  attempts int not null,
  released_by text not null,
  via text not null,
  constraint claim_log_pkey primary key (key, at)
);
comment on table pgstate.claim_log is 'Claims that were ended by force: whose, by whom, when. Read it with claim_log().';
comment on column pgstate.claim_log.token is 'Of the claim that was ended.';
comment on column pgstate.claim_log.holder is 'Who held it until lease_until; null when nobody did, as after a failure.';
comment on column pgstate.claim_log.released_by is 'The agent that ended it; via: the login it came through.';
alter table pgstate.claim_log enable row level security;

-- tables/policy.sql
alter table pgstate.policy
  add column max_attempts int,
  add column backoff interval,
  add column backoff_limit interval,
  add column dead_letter text collate "C",
  add column claimed_writes boolean,
  drop constraint policy_sets_something,
  add constraint policy_sets_something check (num_nonnulls(reducer, ttl, keep_versions, keep_age, keep_everything, value_limit, schema, max_attempts,
    backoff, backoff_limit, dead_letter, claimed_writes) > 0),
  add constraint policy_max_attempts_positive check (max_attempts > 0);
comment on table pgstate.policy is 'Rules for keys and subtrees: default reducer, default time to live, history kept, largest value, JSON Schema, and what becomes of claimed work. The nearest subtree that sets one decides it.';
comment on column pgstate.policy.max_attempts is 'Work that was claimed this often and not finished is given up.';
comment on column pgstate.policy.backoff is 'How long after its first failure work is not claimed again; doubled with each further one, up to backoff_limit.';
comment on column pgstate.policy.dead_letter is 'Where work that was given up goes to, by the same path as below this subtree.';
comment on column pgstate.policy.claimed_writes is 'Claimed entries may be written without the token.';
alter type pgstate.policy_row
  add attribute max_attempts int,
  add attribute backoff interval,
  add attribute backoff_limit interval,
  add attribute dead_letter text,
  add attribute claimed_writes boolean;

-- types/_claim_rules.sql
create type pgstate._claim_rules as (
  max_attempts int, backoff interval, backoff_limit interval, dead_letter text, dead_letter_of text, claimed_writes boolean
);
comment on type pgstate._claim_rules is 'Internal: what the policies say of claims of one key; null where none does. dead_letter_of is the subtree that dead_letter is set for.';

-- types/claim_log_row.sql
create type pgstate.claim_log_row as (
  key text, at timestamptz, token bigint, holder text, lease_until timestamptz, attempts int, released_by text, via text
);
comment on type pgstate.claim_log_row is 'A claim that was ended by force: whose it was, until when, who ended it, through which login, and when.';

-- types/claim_outcome.sql
create type pgstate.claim_outcome as (
  ord int, status text, key text, lease_until timestamptz, attempts int, retry_in interval, moved_to text, code text, message text
);
comment on type pgstate.claim_outcome is 'What became of one claim: status ok, stale, missing, held, denied or invalid. After renew() the end of the lease; after fail() the attempts so far, when it may be claimed again (null: never), and moved_to when it was given up and moved. code and message as in outcome.';

-- types/task_row.sql
create type pgstate.task_row as (
  key text, state text, priority int, holder text, lease_until timestamptz, lease_left interval, attempts int, error text,
  next_try timestamptz, version bigint, created_at timestamptz, updated_at timestamptz
);
comment on type pgstate.task_row is 'An entry as a piece of work: state is waiting, claimed (holder, lease_left), failed (given up: error) or finished; next_try is when one that waits may be claimed, null for at once.';

reset role;
