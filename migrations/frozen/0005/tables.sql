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
