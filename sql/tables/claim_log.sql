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
comment on column pgstate.claim_log.key is 'The claimed entry.';
comment on column pgstate.claim_log.at is 'When it was ended.';
comment on column pgstate.claim_log.lease_until is 'When it would have ended.';
comment on column pgstate.claim_log.attempts is 'How often the entry had been claimed.';
comment on column pgstate.claim_log.via is 'The database login that released_by came through.';
comment on column pgstate.claim_log.token is 'Of the claim that was ended.';
comment on column pgstate.claim_log.holder is 'Who held it until lease_until; null when nobody did, as after a failure.';
comment on column pgstate.claim_log.released_by is 'The agent that ended it; via: the login it came through.';
