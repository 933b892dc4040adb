create or replace view pgstate.policies with (security_invoker = true) as
select p.subtree, p.reducer, p.ttl, p.keep, p.value_limit, p.schema, p.set_by, p.set_at,
       p.max_attempts, p.backoff, p.backoff_limit, p.dead_letter, p.claimed_writes, p.guard, p.trust
  from pgstate.policies() p;
comment on view pgstate.policies is 'Rules that hold for keys which the reader may read; null where a policy does not set something.';
comment on column pgstate.policies.subtree is 'A key, a subtree (a/b/**) or ** for everything; for each key the nearest that sets something decides it.';
comment on column pgstate.policies.reducer is 'The default of merge().';
comment on column pgstate.policies.ttl is 'Time to live of what is written without one; 0 for none.';
comment on column pgstate.policies.keep is 'The history kept: so many versions, so long, or everything.';
comment on column pgstate.policies.value_limit is 'The largest value, in bytes.';
comment on column pgstate.policies.schema is 'The JSON Schema that values must fit.';
comment on column pgstate.policies.set_by is 'The agent that set it last.';
comment on column pgstate.policies.set_at is 'When it was set last.';
comment on column pgstate.policies.max_attempts is 'Work that was claimed this often and not finished is given up.';
comment on column pgstate.policies.backoff is 'How long after its first failure work is not claimed again; doubled with each further one.';
comment on column pgstate.policies.backoff_limit is 'The longest such pause.';
comment on column pgstate.policies.dead_letter is 'Where work that was given up goes to.';
comment on column pgstate.policies.claimed_writes is 'Claimed entries may be written without the token.';
comment on column pgstate.policies.guard is 'What becomes of writes that hold a secret: refuse, redact or off.';
comment on column pgstate.policies.trust is 'The most that what is written there is trusted.';
