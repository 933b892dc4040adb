-- From 0004.
set local role pgstate_owner;

-- clear.sql knows policies by the functions that they name: these two of 0004 name none.
drop policy checkpoint_read on pgstate.checkpoint;
drop policy step_read on pgstate.step;

-- The audit trail.
alter table pgstate.install add column audit_keep interval,
  add constraint install_audit_keep_range check (audit_keep >= interval '1 day');
comment on column pgstate.install.audit_keep is 'How long the audit trail is kept; null for ever. Set by set_audit().';
create type pgstate.audit_row as (id bigint, at timestamptz, event text, agent text, via text, key text, detail jsonb);
comment on type pgstate.audit_row is 'An entry of the audit trail.';
create type pgstate.audit_checked as (subtree text, sound boolean, links bigint, head text, fault text, active boolean, waiting bigint);
comment on type pgstate.audit_checked is 'What verify_audit() found of a chain: links that are there, its head to be noted elsewhere, what is wrong with it, and how many entries wait for a link.';
-- Who changed what others may do, and who was denied what. Only added to: a trigger refuses everything else, but for what
-- retention (install.audit_keep) lets go of. The chains over it are made afterwards, by maintain(): a head that each
-- entry moves would be a lock that a denied agent could keep in an open transaction, and hold up everybody's audit with.
create sequence pgstate.audit_id_seq;

create table pgstate.audit (
  id bigint not null default pg_catalog.nextval('pgstate.audit_id_seq'),
  at timestamptz not null,
  event text not null,
  agent text collate "C",
  via text not null,
  key text collate "C",
  detail jsonb,
  constraint audit_pkey primary key (id),
  constraint audit_key_length check (pg_catalog.octet_length(key) <= 520)
);
alter sequence pgstate.audit_id_seq owned by pgstate.audit.id;
create index audit_key_idx on pgstate.audit (key, id);
-- how often an agent was denied lately
create index audit_denied_idx on pgstate.audit (via, agent, at) where event = 'denied';
alter table pgstate.audit enable row level security;
comment on table pgstate.audit is 'The audit trail: grants, administration, resolved secrets and denials. Only added to. Read it with audit() or the view audit_log.';
comment on column pgstate.audit.id is 'Number; rises.';
comment on column pgstate.audit.at is 'When it was.';
comment on column pgstate.audit.event is 'What was done: grant, revoke, create_agent, set_policy, denied …';
comment on column pgstate.audit.agent is 'Who did it, or was denied it; null for a gateway that may not act for whom it named.';
comment on column pgstate.audit.via is 'The database login.';
comment on column pgstate.audit.key is 'The key or subtree that it is about; null for the installation as a whole.';
comment on column pgstate.audit.detail is 'What else there is to know. Of a denial: what was asked, in the words of who was denied.';
comment on sequence pgstate.audit_id_seq is 'Numbers of the audit trail.';

create table pgstate.audit_chain (
  subtree text collate "C" not null,
  ranges pgstate.keymultirange not null,
  active boolean not null default true,
  set_by text not null,
  set_at timestamptz not null,
  head_no bigint not null default 0,
  head_hash bytea not null default '',
  cut_no bigint not null default 0,
  cut_hash bytea not null default '',
  constraint audit_chain_pkey primary key (subtree)
);
alter table pgstate.audit_chain enable row level security;
comment on table pgstate.audit_chain is 'Subtrees whose part of the audit trail is linked by hashes, and where each of these chains ends.';
comment on column pgstate.audit_chain.subtree is 'A key, a/b/**, or ** for everything.';
comment on column pgstate.audit_chain.ranges is 'Its ranges of keys.';
comment on column pgstate.audit_chain.active is 'What is new is linked.';
comment on column pgstate.audit_chain.set_by is 'The agent that set it.';
comment on column pgstate.audit_chain.set_at is 'When.';
comment on column pgstate.audit_chain.head_no is 'Number of the last link.';
comment on column pgstate.audit_chain.head_hash is 'Its hash.';
comment on column pgstate.audit_chain.cut_no is 'Number of the last link that retention has removed.';
comment on column pgstate.audit_chain.cut_hash is 'Its hash.';

create table pgstate.audit_link (
  subtree text collate "C" not null,
  no bigint not null,
  audit_id bigint not null,
  hash bytea not null,
  constraint audit_link_pkey primary key (subtree, no)
);
create index audit_link_audit_idx on pgstate.audit_link (audit_id);
alter table pgstate.audit_link enable row level security;
comment on table pgstate.audit_link is 'The links of chains: each hash covers an entry of the audit trail and the link before.';
comment on column pgstate.audit_link.subtree is 'The chain.';
comment on column pgstate.audit_link.no is 'Number of the link; dense.';
comment on column pgstate.audit_link.audit_id is 'The entry that it links.';
comment on column pgstate.audit_link.hash is 'SHA-256 of the hash before and the entry.';

create table pgstate.audit_pending (
  subtree text collate "C" not null,
  audit_id bigint not null,
  constraint audit_pending_pkey primary key (subtree, audit_id)
);
alter table pgstate.audit_pending enable row level security;
comment on table pgstate.audit_pending is 'Entries of the audit trail that are to be linked.';
comment on column pgstate.audit_pending.subtree is 'The chain.';
comment on column pgstate.audit_pending.audit_id is 'The entry.';
-- Runs that sleep. The index of those that workers may take is made anew without them, and reads the table once.
alter table pgstate.run
  alter ready_at drop not null,
  add asleep boolean not null default false,
  add awaits text[] collate "C";
drop index pgstate.run_ready_idx;
create index run_ready_idx on pgstate.run (name, priority desc, ready_at, id) where state = 'open' and key is not null and name is not null and not asleep;
create index run_asleep_idx on pgstate.run (name, ready_at) where state = 'open' and key is not null and name is not null and asleep;
comment on column pgstate.run.ready_at is 'No worker takes it before; null while it sleeps until something wakes it.';
comment on column pgstate.run.asleep is 'No worker looks at it until ready_at, or until it is woken: by a signal that it waits for, the end of a run in awaits, or being cancelled.';
comment on column pgstate.run.awaits is 'The keys of runs whose end it waits for.';
-- Threads: saves that are gathered.
create type pgstate.save_outcome as (ord int, status text, id text, version bigint, head text, missing bytea[], code text, message text, watched boolean);
comment on type pgstate.save_outcome is 'Outcome of one save of several: as saved, or why it was refused.';

-- Denials, grants that end, groups.
alter table pgstate.agent add column grouping boolean not null default false;
comment on column pgstate.agent.grouping is 'A group of agents, to which rights are granted; it never acts.';
alter table pgstate.access_grant add column deny boolean not null default false, add column until timestamptz,
  drop constraint access_grant_pkey, add constraint access_grant_pkey primary key (agent_id, subtree, "right", deny);
comment on column pgstate.access_grant.agent_id is 'Who may, or a group of agents.';
comment on column pgstate.access_grant.deny is 'May not, whatever is granted.';
comment on column pgstate.access_grant.until is 'When it ends by itself; null for never.';
alter table pgstate.reach add column folded_until timestamptz;
alter table pgstate.login add column folded_until timestamptz;
comment on column pgstate.reach.folded_until is 'When the next of the grants ends, from when on these ranges are not looked at; null for never.';
comment on column pgstate.login.folded_until is 'When the next of the grants ends, from when on these ranges are not looked at; null for never.';
alter type pgstate.grant_row add attribute deny boolean, add attribute until timestamptz;
create type pgstate._grant_of as (agent text, subtree text, "right" text, deny boolean, until timestamptz, through text, granted_by text, granted_at timestamptz);
comment on type pgstate._grant_of is 'Internal: a grant of an agent, or of a group that it is in.';
create type pgstate.group_row as (name text, members text[], created_at timestamptz);
comment on type pgstate.group_row is 'A group of agents.';
create type pgstate.effective_row as (
  "right" text, subtree text, deny boolean, state text, through text, until timestamptz, granted_by text, granted_at timestamptz
);
comment on type pgstate.effective_row is 'A grant or denial as it holds for one agent: {agent} is its name; state is in force, denied, partly denied or ended; through: the group that has it, null for its own.';
create type pgstate.access_reason as (
  allowed boolean, decides boolean, subtree text, deny boolean, through text, until timestamptz, granted_by text, granted_at timestamptz
);
comment on type pgstate.access_reason is 'Why an agent has a right on a key or not: a grant or denial that covers it, and whether it decides.';
create table pgstate.group_member (
  group_id int not null,
  agent_id int not null,
  added_by text not null,
  added_at timestamptz not null default pg_catalog.now(),
  constraint group_member_pkey primary key (group_id, agent_id),
  constraint group_member_group_fkey foreign key (group_id) references pgstate.agent (id) on delete cascade,
  constraint group_member_agent_fkey foreign key (agent_id) references pgstate.agent (id) on delete cascade
);
create index group_member_agent_idx on pgstate.group_member (agent_id);
alter table pgstate.group_member enable row level security;
comment on table pgstate.group_member is 'Which agents are in which groups: what is granted or denied to a group holds for each of them.';
comment on column pgstate.group_member.group_id is 'The group.';
comment on column pgstate.group_member.agent_id is 'The agent, which is no group.';
comment on column pgstate.group_member.added_by is 'The agent that added it.';
comment on column pgstate.group_member.added_at is 'When it was added.';

-- Quotas.
alter type pgstate._actor add attribute quota boolean;
comment on type pgstate._actor is 'Internal: the acting agent with its cached rights; in a write also whether its lane is ready, or what the lane kept, in other calls whether the installation is where it was (not restored) in place of that; horizon for reads of the feed.';
alter table pgstate.reach add column quota boolean not null default false;
alter table pgstate.login add column quota boolean not null default false;
comment on column pgstate.reach.quota is 'There is a quota: without one, writes need not look for it.';
comment on column pgstate.login.quota is 'There is a quota: without one, writes need not look for it.';
create type pgstate.quota_row as (
  agent text, entries bigint, bytes bigint, writes_per_minute int, used_entries bigint, used_bytes bigint, used_writes bigint, set_by text, set_at timestamptz
);
comment on type pgstate.quota_row is 'The quota of an agent, and what it has used.';
create type pgstate._used as (entries bigint, bytes bigint, writes bigint);
comment on type pgstate._used is 'Internal: what an agent has used.';
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
comment on column pgstate.quota.bytes is 'Size of their values; null for any.';
comment on column pgstate.quota.writes_per_minute is 'Versions in a minute of the clock; null for any number.';
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
comment on table pgstate.usage is 'What agents with a quota have used, in parts that add up. What others overwrite and what expires is taken off when it is counted anew.';
comment on column pgstate.usage.id is 'Number of the part.';
comment on column pgstate.usage.agent_id is 'The agent.';
comment on column pgstate.usage.entries is 'Entries, of this part.';
comment on column pgstate.usage.bytes is 'Size of their values.';
comment on column pgstate.usage.minute is 'The minute that writes is of.';
comment on column pgstate.usage.writes is 'Versions in that minute.';
comment on column pgstate.usage.xid is 'The transaction that changed it last.';
comment on column pgstate.usage.seq is 'The last version that it has counted.';
comment on sequence pgstate.usage_id_seq is 'Numbers of parts of usage.';
-- Guards against secrets.
alter table pgstate.policy add column guard text;
comment on column pgstate.policy.guard is 'What becomes of writes that hold a secret: refuse, redact or off.';
alter table pgstate.policy drop constraint policy_sets_something;
alter table pgstate.policy add constraint policy_sets_something check (num_nonnulls(reducer, ttl, keep_versions, keep_age, keep_everything, value_limit, schema, max_attempts,
  backoff, backoff_limit, dead_letter, claimed_writes, guard) > 0);
alter table pgstate.policy add constraint policy_guard_known check (guard in ('refuse', 'redact', 'off'));
alter type pgstate._policy add attribute guard text;
alter type pgstate.policy_row add attribute guard text;

-- Trust. Each default is a constant: no row is written anew.
create type pgstate.trust as enum ('external', 'agent', 'verified', 'operator');
comment on type pgstate.trust is 'How far what a version says can be relied on, the lowest first.';
create type pgstate._origin as (trust pgstate.trust, meta jsonb, fault text);
comment on type pgstate._origin is 'Internal: what a write says of where its value comes from: the most that it may be trusted, what its version keeps of that, and the SQLSTATE if it may not say so.';
alter type pgstate._actor add attribute trust pgstate.trust;
alter type pgstate._policy add attribute trust pgstate.trust;
alter type pgstate._slot add attribute trust pgstate.trust, add attribute origin_trust pgstate.trust, add attribute origin_meta jsonb, add attribute origin_fault text;
alter type pgstate.policy_row add attribute trust text;
alter type pgstate._feed_row add attribute trust pgstate.trust;
alter type pgstate.change add attribute trust text;
alter type pgstate.entry_row add attribute trust text;
alter type pgstate.entry_item add attribute trust text;
alter type pgstate.listed add attribute trust text;
alter type pgstate.version_row add attribute trust text;
alter type pgstate.past_row add attribute trust text;
alter type pgstate.past_listed add attribute trust text;
alter type pgstate.agent_row add attribute trust text;
alter table pgstate.agent add column trust pgstate.trust not null default 'agent';
alter table pgstate.reach add column trust pgstate.trust not null default 'agent';
alter table pgstate.login add column trust pgstate.trust not null default 'agent';
update pgstate.agent set trust = 'operator' where root;
update pgstate.reach r set trust = a.trust from pgstate.agent a where a.id = r.agent_id and a.root;
update pgstate.login l set trust = a.trust from pgstate.agent a where a.id = l.agent_id and a.root;
alter table pgstate.entry add column trust pgstate.trust not null default 'agent';
alter table pgstate.version add column trust pgstate.trust not null default 'agent';
comment on column pgstate.agent.trust is 'The most that what it writes is trusted.';
comment on column pgstate.reach.trust is 'Cache: that of the agent.';
comment on column pgstate.login.trust is 'Cache: that of the agent.';
comment on column pgstate.entry.trust is 'How far the newest version can be relied on; stamped by the server.';
comment on column pgstate.version.meta is 'ttl: the time to live, of an entry that touch() gave more time; sources: the versions that its value derives from; endorsed_by: who raised its trust, with the version endorsed, its writer, and from what trust.';
comment on column pgstate.version.trust is 'How far it can be relied on: the least of what was declared, of the agent, of the policy and of the sources.';
alter table pgstate.policy add column trust pgstate.trust;
comment on column pgstate.policy.trust is 'The most that what is written there is trusted.';
alter table pgstate.policy drop constraint policy_sets_something;
alter table pgstate.policy add constraint policy_sets_something check (num_nonnulls(reducer, ttl, keep_versions, keep_age, keep_everything, value_limit, schema, max_attempts,
  backoff, backoff_limit, dead_letter, claimed_writes, guard, trust) > 0);

-- Tickets.
alter table pgstate.login add column tickets boolean not null default false;
comment on column pgstate.login.tickets is 'A gateway that names agents by tickets alone.';
-- Keys of the signatures of tickets. HMAC (RFC 2104) begins with the key XOR two constants: both are kept in place of the key.
create sequence pgstate.ticket_key_id_seq as int;

create table pgstate.ticket_key (
  id int not null default pg_catalog.nextval('pgstate.ticket_key_id_seq'),
  inner_pad bytea not null,
  outer_pad bytea not null,
  created_at timestamptz not null,
  retired_at timestamptz,
  constraint ticket_key_pkey primary key (id)
);
alter sequence pgstate.ticket_key_id_seq owned by pgstate.ticket_key.id;
alter table pgstate.ticket_key enable row level security;
comment on table pgstate.ticket_key is 'Keys that sign tickets, by which gateways name agents. The owner alone reads them.';
comment on column pgstate.ticket_key.id is 'Number; a ticket names it.';
comment on column pgstate.ticket_key.inner_pad is 'The key XOR 0x36.';
comment on column pgstate.ticket_key.outer_pad is 'The key XOR 0x5c.';
comment on column pgstate.ticket_key.created_at is 'When it was made.';
comment on column pgstate.ticket_key.retired_at is 'From when on its tickets are not taken; null for the newest.';
comment on sequence pgstate.ticket_key_id_seq is 'Numbers of keys.';

-- What harden() tells.
create type pgstate.harden_step as (action text, agent text, login text, state text, note text);
comment on type pgstate.harden_step is 'A step of harden(): state is there, to do or done; or a note about what it cannot do.';
-- Credentials.
create type pgstate.credential_row as (agent text, name text, purpose text, granted_by text, granted_at timestamptz);
comment on type pgstate.credential_row is 'A credential that an agent may have resolved, and for what.';
-- Which credentials an agent may have resolved, and for what. The credentials themselves are never here: an application's
-- resolver has them.
create table pgstate.credential_grant (
  agent_id int not null,
  name text collate "C" not null,
  purpose text collate "C" not null,
  granted_by text not null,
  granted_at timestamptz not null,
  constraint credential_grant_pkey primary key (agent_id, name, purpose),
  constraint credential_grant_agent_fkey foreign key (agent_id) references pgstate.agent (id) on delete cascade
);
alter table pgstate.credential_grant enable row level security;
comment on table pgstate.credential_grant is 'Credentials that agents may have resolved, by the names in their handles, and for what.';
comment on column pgstate.credential_grant.agent_id is 'The agent.';
comment on column pgstate.credential_grant.name is 'As in $CRED{name}; * for any.';
comment on column pgstate.credential_grant.purpose is 'For what; * for anything.';
comment on column pgstate.credential_grant.granted_by is 'The agent that allowed it.';
comment on column pgstate.credential_grant.granted_at is 'When.';
