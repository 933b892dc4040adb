-- A narrow table of its own, and no index beside the key, so that every claim and renewal is a HOT update.
create sequence pgstate.claim_token_seq cache 1;

create table pgstate.claim (
  key text collate "C" not null,
  token bigint not null,
  holder text,
  holder_id int,
  lease_until timestamptz not null,
  attempts int not null,
  claimed_at timestamptz not null,
  retry_at timestamptz,
  error text,
  released int not null default 0,
  constraint claim_pkey primary key (key)
) with (fillfactor = 50);
comment on table pgstate.claim is 'Exclusive ownership of entries until the lease ends. A released claim keeps its row, with lease_until -infinity.';
comment on column pgstate.claim.token is 'Fencing token: rises with each claim.';
comment on column pgstate.claim.attempts is 'How often the entry was claimed since it was created.';
comment on column pgstate.claim.retry_at is 'After a failure: not claimable before; infinity for one that is not tried again.';
comment on column pgstate.claim.error is 'What the last failure said.';
comment on column pgstate.claim.released is 'How many of the attempts were given back untried.';
comment on column pgstate.claim.key is 'The claimed entry.';
comment on column pgstate.claim.holder is 'Name of the agent that holds it, or did last.';
comment on column pgstate.claim.holder_id is 'Number of that agent.';
comment on column pgstate.claim.lease_until is 'When the claim ends unless it is renewed.';
comment on column pgstate.claim.claimed_at is 'When it was claimed.';
comment on sequence pgstate.claim_token_seq is 'Fencing tokens.';
