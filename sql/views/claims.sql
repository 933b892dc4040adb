create or replace view pgstate.claims with (security_invoker = true) as
select c.key, c.token, c.holder, c.lease_until, c.attempts, c.claimed_at
  from pgstate.claim c
 where c.lease_until > pgstate._now();
comment on view pgstate.claims is 'Who holds what now, and until when.';
comment on column pgstate.claims.key is 'The claimed entry.';
comment on column pgstate.claims.holder is 'The agent that holds it.';
comment on column pgstate.claims.lease_until is 'When the claim ends unless it is renewed.';
comment on column pgstate.claims.claimed_at is 'When it was claimed.';
comment on column pgstate.claims.token is 'The fencing token of the current claim.';
comment on column pgstate.claims.attempts is 'How often the entry was claimed.';
