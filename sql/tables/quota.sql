create table pgstate.quota (
  agent_id int not null,
  entries bigint,
  bytes bigint,
  writes_per_minute int,
  set_by text not null,
  set_at timestamptz not null,
  constraint quota_pkey primary key (agent_id),
  constraint quota_agent_fkey foreign key (agent_id) references pgstate.agent (id) on delete cascade,
  constraint quota_sets_something check (pg_catalog.num_nonnulls(entries, bytes, writes_per_minute) > 0),
  constraint quota_range check (entries >= 0 and bytes >= 0 and writes_per_minute >= 0)
);
alter table pgstate.quota enable row level security;
comment on table pgstate.quota is 'What an agent may keep, and how often it may write. Agents without a row have no limits.';
comment on column pgstate.quota.agent_id is 'The agent.';
comment on column pgstate.quota.entries is 'Entries that it wrote last; null for any number.';
comment on column pgstate.quota.bytes is 'Size of their values, and of what it wrote in threads and runs; null for any.';
comment on column pgstate.quota.writes_per_minute is 'Versions, calls of put_writes(), op_ids and new lanes in a minute of the clock; null for any number.';
comment on column pgstate.quota.set_by is 'The agent that set it.';
comment on column pgstate.quota.set_at is 'When.';

-- What an agent with a quota has used, in parts that add up: a transaction takes one that nobody has locked, or makes one, so
-- that there are as many as ever wrote at once, and no writer waits for another. No foreign key: it would lock the agent's row,
-- and hold up its removal.
create sequence pgstate.usage_id_seq;

create table pgstate.usage (
  id bigint not null default pg_catalog.nextval('pgstate.usage_id_seq'),
  agent_id int not null,
  entries bigint not null default 0,
  bytes bigint not null default 0,
  minute timestamptz not null default '-infinity',
  writes int not null default 0,
  xid xid8,
  seq bigint,
  constraint usage_pkey primary key (id)
) with (fillfactor = 50);
alter sequence pgstate.usage_id_seq owned by pgstate.usage.id;
create index usage_agent_idx on pgstate.usage (agent_id);
alter table pgstate.usage enable row level security;
comment on table pgstate.usage is 'What agents with a quota have used, in parts that add up. What others overwrite, what threads and runs do not hold any more, and what expires is taken off when it is counted anew.';
comment on column pgstate.usage.id is 'Number of the part.';
comment on column pgstate.usage.agent_id is 'The agent.';
comment on column pgstate.usage.entries is 'Entries, of this part.';
comment on column pgstate.usage.bytes is 'Size of their values, and of what is in threads and runs.';
comment on column pgstate.usage.minute is 'The minute that writes is of.';
comment on column pgstate.usage.writes is 'Versions in that minute, and what else counts as a write.';
comment on column pgstate.usage.xid is 'The transaction that changed it last.';
comment on column pgstate.usage.seq is 'The last version that it has counted.';
comment on sequence pgstate.usage_id_seq is 'Numbers of parts of usage.';
