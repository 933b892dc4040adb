-- Denials that the audit trail leaves out, since there were too many of an agent in a minute: counted here, until maintain() adds how many
-- they were to the trail. In parts that add up, as usage is: who is denied waits for nobody, and holds nobody up.
create sequence pgstate.denied_count_id_seq;

create table pgstate.denied_count (
  id bigint not null default pg_catalog.nextval('pgstate.denied_count_id_seq'),
  minute timestamptz not null,
  agent text collate "C",
  via text not null,
  denials bigint not null,
  constraint denied_count_pkey primary key (id)
) with (fillfactor = 50);
alter sequence pgstate.denied_count_id_seq owned by pgstate.denied_count.id;
create index denied_count_idx on pgstate.denied_count (via, minute);
alter table pgstate.denied_count enable row level security;
comment on table pgstate.denied_count is 'Denials that the audit trail does not have one by one, in parts that add up, until it has how many they were.';
comment on column pgstate.denied_count.id is 'Number of the part.';
comment on column pgstate.denied_count.minute is 'When they were: the minute of the clock.';
comment on column pgstate.denied_count.agent is 'Who was denied; null for a gateway that may not act for whom it named.';
comment on column pgstate.denied_count.via is 'The database login.';
comment on column pgstate.denied_count.denials is 'How many, of this part.';
comment on sequence pgstate.denied_count_id_seq is 'Numbers of parts of denied_count.';
