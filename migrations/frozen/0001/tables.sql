-- Built by migrations/freeze.py from sql/: change it there.

-- roles/roles.sql
-- The four NOLOGIN roles of a cluster that has pgstate. Roles are cluster-wide: another database may have made them.
--
-- pgstate_owner   owns the tables and the few functions that must see every row (identity, expiry, feed frontier)
-- pgstate_api     owns the functions that agents call, and no table, so that row-level security binds those functions
-- pgstate_agent   holds EXECUTE on the agent-facing functions; every agent's and gateway's login is a member
-- pgstate_reader  holds SELECT on the views; the logins made by create_reader are members
do $roles$
declare
  v_role text;
begin
  foreach v_role in array array['pgstate_owner', 'pgstate_api', 'pgstate_agent', 'pgstate_reader'] loop
    begin
      execute pg_catalog.format('create role %I nologin', v_role);
    exception when duplicate_object or unique_violation then
      null;
    end;
  end loop;
  -- An administrator without superuser must be able to SET ROLE to the two owners. PostgreSQL 16 made SET and INHERIT
  -- options of a membership (and refuses the old form's implicit rights); on 15 that syntax is an error.
  if not (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user) then
    foreach v_role in array array['pgstate_owner', 'pgstate_api'] loop
      if pg_catalog.current_setting('server_version_num')::int >= 160000 then
        if not pg_catalog.pg_has_role(current_user, v_role, 'SET') then
          execute pg_catalog.format('grant %I to %I with inherit false, set true', v_role, current_user);
        end if;
      elsif not pg_catalog.pg_has_role(current_user, v_role, 'MEMBER') then
        execute pg_catalog.format('grant %I to %I', v_role, current_user);
      end if;
    end loop;
    -- and calls the functions and reads the views as agent admin
    foreach v_role in array array['pgstate_agent', 'pgstate_reader'] loop
      if not pg_catalog.pg_has_role(current_user, v_role, 'USAGE') then
        execute pg_catalog.format('grant %I to %I', v_role, current_user);
      end if;
    end loop;
  end if;
end
$roles$;

grant usage, create on schema pgstate to pgstate_owner, pgstate_api;
grant usage on schema pgstate to pgstate_agent, pgstate_reader;

-- types/as_owner.sql
-- What follows belongs to the tables' owner.
set local role pgstate_owner;

-- types/keyrange.sql
-- Ranges of keys in byte order: what a subtree covers. Grants are cached as one multirange per agent and right.
create type pgstate.keyrange as range (
  subtype = text,
  collation = "C",
  multirange_type_name = pgstate.keymultirange
);
comment on type pgstate.keyrange is 'A range of keys, in collation "C".';
comment on type pgstate.keymultirange is 'A set of key ranges: what one agent may reach with one right.';

-- types/words.sql
-- Domains rather than CHECK constraints of the tables: those are parsed anew for every statement that writes.
create domain pgstate.entry_kind as text constraint entry_kind_known check (value in ('value', 'thread', 'run'));
comment on domain pgstate.entry_kind is 'What a key holds.';

create domain pgstate.version_op as text
  constraint version_op_known check (value in ('put', 'merge', 'delete', 'complete', 'expire'));
comment on domain pgstate.version_op is 'What made a version.';

-- types/_actor.sql
-- Who acts in a call, and what they reach: made once at the start of every function, never by the caller. A call about one
-- key gets readable and writable in place of the ranges, which are long and would be copied from function to function.
create type pgstate._actor as (
  id int, name text, epoch int, value_limit int, reads pgstate.keymultirange, writes pgstate.keymultirange, identity text,
  readable boolean, writable boolean, lane_ready boolean, kept jsonb
);
comment on type pgstate._actor is 'Internal: the acting agent with its cached rights; in a write also whether its lane is ready, or what the lane kept.';

-- types/_position.sql
create type pgstate._position as (base pg_snapshot, upto pg_snapshot, after bigint, until bigint);
comment on type pgstate._position is 'Internal: a cursor, taken apart.';

-- types/_slot.sql
-- Inside _try_each(): an operation together with the entry that it locked, and the rows to be written in bulk.
create type pgstate._slot as (
  ord int, op text, key text, operand jsonb, expect bigint, expect_value jsonb, ttl interval, token bigint,
  priority int, not_before timestamptz, reducer text, return_value boolean, code text, readable boolean,
  found boolean, kind text, version bigint, live boolean, value jsonb, created_at timestamptz, expires_at timestamptz,
  old_priority int, old_not_before timestamptz
);
comment on type pgstate._slot is 'Internal: one operation of a write, with the current entry.';

-- types/_wanted.sql
create type pgstate._wanted as (ranges pgstate.keymultirange, regex text);
comment on type pgstate._wanted is 'Internal: patterns as the ranges that hold every match and a regular expression, null when the ranges decide alone.';

-- types/_window.sql
create type pgstate._window as (upto pg_snapshot, start bigint);
comment on type pgstate._window is 'Internal: how far a page of the feed reads, and where it starts.';

-- types/about.sql
create type pgstate.about as (revision text, agent text, login text, value_limit int, epoch int);
comment on type pgstate.about is 'What info() tells: the schema''s revision, who the caller is, and this installation''s limits.';

-- types/agent_row.sql
create type pgstate.agent_row as (name text, login text, gateways text[], root boolean, created_at timestamptz);
comment on type pgstate.agent_row is 'An agent: its own login, and the gateways that may act for it.';

-- types/applied.sql
create type pgstate.applied as (ord int, key text, status text, version bigint, value jsonb, watched boolean);
comment on type pgstate.applied is 'Outcome of one guard or operation of apply(), guards first: ok everywhere, or the failing rows'' own status and skipped for the rest; watched as in outcome.';

-- types/change.sql
create type pgstate.change as (
  agent text, key text, version bigint, op text, value jsonb, previous jsonb, created boolean, writer text, via text,
  at timestamptz, expires_at timestamptz, cursor text, whole boolean
);
comment on type pgstate.change is 'One change of the feed, or the bookmark that ends every page (op bookmark, key null). cursor: where to go on after this row. whole: no transaction is split at this point.';

-- types/claim_row.sql
create type pgstate.claim_row as (
  key text, holder text, lease_until timestamptz, lease_left interval, attempts int, claimed_at timestamptz
);
comment on type pgstate.claim_row is 'A claim that somebody holds, as anybody may see it who may read the entry: without its token.';

-- types/claimed.sql
create type pgstate.claimed as (
  status text, key text, value jsonb, version bigint, token bigint, lease_until timestamptz, attempts int, retry_in interval
);
comment on type pgstate.claimed is 'Outcome of a claim: status ok, held, stale or missing; token is the fencing token; retry_in says when trying again may help.';

-- types/entry_item.sql
create type pgstate.entry_item as (
  ord int, status text, key text, value jsonb, version bigint, kind text, writer text, via text,
  created_at timestamptz, updated_at timestamptz, expires_at timestamptz, priority int, not_before timestamptz,
  code text, message text
);
comment on type pgstate.entry_item is 'One row of get_many(): ord counts from 1 in the order of the input, code and message are set for a refused key.';

-- types/entry_row.sql
create type pgstate.entry_row as (
  status text, key text, value jsonb, version bigint, kind text, writer text, via text,
  created_at timestamptz, updated_at timestamptz, expires_at timestamptz, priority int, not_before timestamptz
);
comment on type pgstate.entry_row is 'An entry as it is now: status ok or missing, and the entry''s columns.';

-- types/grant_row.sql
create type pgstate.grant_row as (agent text, subtree text, "right" text, granted_by text, granted_at timestamptz);
comment on type pgstate.grant_row is 'A right of an agent on a key or subtree.';

-- types/listed.sql
create type pgstate.listed as (
  key text, value jsonb, version bigint, kind text, writer text, via text,
  created_at timestamptz, updated_at timestamptz, expires_at timestamptz, priority int, not_before timestamptz, cursor text
);
comment on type pgstate.listed is 'One row of list(): an entry, and the cursor of the statement that listed it.';

-- types/outcome.sql
create type pgstate.outcome as (ord int, status text, version bigint, value jsonb, code text, message text, watched boolean);
comment on type pgstate.outcome is 'Outcome of one row of a set-based write: ord counts from 1 in the order of the input, code and message are the SQLSTATE and text of a refused row, watched says that somebody watches a key that this statement wrote.';

-- types/version_row.sql
create type pgstate.version_row as (
  key text, version bigint, op text, value jsonb, writer text, via text, at timestamptz, expires_at timestamptz, created boolean
);
comment on type pgstate.version_row is 'One version of a key: op is put, merge, delete, complete or expire; created says that the key did not exist before it.';

-- types/written.sql
-- What the functions return. Composite types, because a function's parameters (key, value) and result columns share names.
create type pgstate.written as (status text, version bigint, value jsonb);
comment on type pgstate.written is 'Outcome of one write: status ok, conflict, held, stale or missing; the version (of the write when ok, else the current one, 0 when the key does not exist); the current value on conflict, the merged value when asked for.';

-- tables/install.sql
-- One row: this installation's identity and limits. `identity` names the cluster and database whose transaction ids
-- version.xid holds; after a restore elsewhere they differ and the epoch must rise before anything is written.
create table pgstate.install (
  singleton boolean not null default true,
  identity text not null,
  epoch int not null default 1,
  value_limit int not null default 1048576,
  installed_at timestamptz not null default pg_catalog.now(),
  constraint install_pkey primary key (singleton),
  constraint install_one_row check (singleton),
  constraint install_value_limit_range check (value_limit between 1024 and 268435456)
);
comment on table pgstate.install is 'One row: the identity of the cluster and database, the epoch of transaction ids, and the limits of this installation.';
comment on column pgstate.install.identity is 'System identifier and database oid that version.xid belongs to.';
comment on column pgstate.install.epoch is 'Rises when the database was restored elsewhere: transaction ids of older epochs mean nothing here.';
comment on column pgstate.install.value_limit is 'Largest value in bytes, measured as pg_column_size of the jsonb.';

-- tables/agent.sql
create sequence pgstate.agent_id_seq as int;

create table pgstate.agent (
  id int not null default pg_catalog.nextval('pgstate.agent_id_seq'),
  name text collate "C" not null,
  root boolean not null default false,
  created_at timestamptz not null default pg_catalog.now(),
  constraint agent_pkey primary key (id),
  constraint agent_name_key unique (name),
  -- a name is one key segment, because {agent} in a grant stands for it; 'pgstate' signs expiry
  constraint agent_name_form check (name ~ '^[A-Za-z0-9._~:@=+,%-]{1,128}$' and name not in ('.', '..', 'pgstate'))
);
alter sequence pgstate.agent_id_seq owned by pgstate.agent.id;
comment on table pgstate.agent is 'Who acts: the identity that grants, writers and claims name.';
comment on column pgstate.agent.root is 'Registered by the installation, with all rights, which cannot be revoked.';

-- tables/former_agent.sql
-- Names stay with what was written under them: an agent that came to the name of a dropped one would read its private
-- memory/{agent}/** and pass for it in the history. So these names are taken again only by who says so.
create table pgstate.former_agent (
  name text collate "C" not null,
  dropped_at timestamptz not null default pg_catalog.now(),
  dropped_by text not null,
  constraint former_agent_pkey primary key (name)
);
alter table pgstate.former_agent enable row level security;
comment on table pgstate.former_agent is 'Names of agents that were dropped, and of none that is there now.';
comment on column pgstate.former_agent.dropped_by is 'The agent that dropped it.';

-- tables/login.sql
create table pgstate.login (
  login text collate "C" not null,
  agent_id int,
  gateway boolean not null default false,
  root boolean not null default false,
  created_at timestamptz not null default pg_catalog.now(),
  -- what most calls ask for, so that they read one row: the agent's name, and its reach as in the table of that name
  agent_name text collate "C",
  reads pgstate.keymultirange,
  writes pgstate.keymultirange,
  touches pgstate.keymultirange,
  constraint login_pkey primary key (login),
  constraint login_agent_fkey foreign key (agent_id) references pgstate.agent (id) on delete cascade,
  constraint login_is_one_thing check ((agent_id is null) = gateway and not (root and gateway))
);
-- as in reach
alter table pgstate.login
  alter column reads set storage external,
  alter column writes set storage external,
  alter column touches set storage external;
comment on column pgstate.login.root is 'The login that installed: may act for any agent.';
comment on table pgstate.login is 'Database logins that pgstate knows: an agent''s own, or a gateway that acts for the agents delegated to it.';
comment on column pgstate.login.reads is 'Cache, with writes and touches: the reach of the login''s own agent; null for a gateway.';

-- tables/delegation.sql
create table pgstate.delegation (
  login text collate "C" not null,
  agent_id int not null,
  created_at timestamptz not null default pg_catalog.now(),
  constraint delegation_pkey primary key (login, agent_id),
  constraint delegation_login_fkey foreign key (login) references pgstate.login (login) on delete cascade,
  constraint delegation_agent_fkey foreign key (agent_id) references pgstate.agent (id) on delete cascade
);
comment on table pgstate.delegation is 'Which agents a gateway may act for.';

-- tables/access_grant.sql
create table pgstate.access_grant (
  agent_id int not null,
  subtree text collate "C" not null,
  "right" text not null,
  granted_by text not null,
  granted_at timestamptz not null default pg_catalog.now(),
  constraint access_grant_pkey primary key (agent_id, subtree, "right"),
  constraint access_grant_agent_fkey foreign key (agent_id) references pgstate.agent (id) on delete cascade,
  constraint access_grant_right_known check ("right" in ('read', 'write', 'admin'))
);
comment on table pgstate.access_grant is 'Rights of agents on keys and subtrees; {agent} as a segment stands for the agent''s name.';

-- tables/reach.sql
-- The grants of one agent folded into multiranges when they change: building them per statement costs 216 us at 200 grants.
create table pgstate.reach (
  agent_id int not null,
  reads pgstate.keymultirange not null default '{}',
  writes pgstate.keymultirange not null default '{}',
  admins pgstate.keymultirange not null default '{}',
  touches pgstate.keymultirange not null default '{}',
  constraint reach_pkey primary key (agent_id),
  constraint reach_agent_fkey foreign key (agent_id) references pgstate.agent (id) on delete cascade
);
-- never compressed: a compressed multirange is decompressed for every row that a policy looks at
alter table pgstate.reach
  alter column reads set storage external,
  alter column writes set storage external,
  alter column admins set storage external,
  alter column touches set storage external;
comment on table pgstate.reach is 'Cache of access_grant: what each agent reaches with each right.';
comment on column pgstate.reach.touches is 'reads and writes together: what row-level security lets the API functions see for this agent.';

-- tables/entry.sql
-- What a key holds now. A deleted or expired key keeps its row as a tombstone (live = false), so that versions never restart.
create table pgstate.entry (
  key text collate "C" not null,
  -- the key without its last segment: serves claims of one directory in order. A column, because an expression index
  -- cannot be used under row-level security (its functions are not leakproof); a plain one, written with the key, because
  -- a generated one costs every update 15 us.
  parent text collate "C" not null,
  kind pgstate.entry_kind not null default 'value',
  version bigint not null,
  live boolean not null,
  value jsonb,
  writer text not null,
  via text not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  expires_at timestamptz,
  priority int not null default 0,
  not_before timestamptz,
  constraint entry_pkey primary key (key),
  constraint entry_live_has_value check (live = (value is not null) and version >= 0)
) with (fillfactor = 75);
create index entry_task_idx on pgstate.entry (parent, priority desc, created_at, key) where live;
create index entry_not_before_idx on pgstate.entry (parent, not_before) where live and not_before is not null;
create index entry_expires_idx on pgstate.entry (expires_at) where live and expires_at is not null;
comment on table pgstate.entry is 'What each key holds now, tombstones included. Written by functions only; read the view entries.';
comment on column pgstate.entry.parent is 'The key without its last segment.';
comment on column pgstate.entry.version is 'Number of the newest version; 0 marks a key that was only ever guarded as absent.';
comment on column pgstate.entry.live is 'False for a tombstone.';
comment on column pgstate.entry.writer is 'The agent that wrote the newest version; pgstate for an expiry.';
comment on column pgstate.entry.via is 'The database login that the writer came through.';

-- tables/version.sql
-- Append-only history and change feed at once.
-- seq comes from a plain sequence with cache 1: an identity column would keep this table from being attached as a
-- partition (18) and breaks pg_upgrade from 16. xid stands before seq: defaults are evaluated in column order, so a
-- transaction has its xid before it takes its first seq, which the paged feed relies on.
create sequence pgstate.version_seq cache 1;

create table pgstate.version (
  key text collate "C" not null,
  version bigint not null,
  epoch int not null,
  xid xid8 not null default pg_catalog.pg_current_xact_id(),
  seq bigint not null default pg_catalog.nextval('pgstate.version_seq'),
  op pgstate.version_op not null,
  created boolean not null default false,
  value jsonb,
  writer text not null,
  via text not null,
  at timestamptz not null,
  expires_at timestamptz,
  meta jsonb
);
create unique index version_key_idx on pgstate.version (key, version);
-- seq rides along, so that the last row of a transaction and the first of a window are found without a scan
create index version_feed_idx on pgstate.version (epoch, xid, seq);
create index version_seq_idx on pgstate.version (seq);
comment on table pgstate.version is 'Every version of every key, append-only: history and change feed. Read the view versions, history() or changes().';
comment on column pgstate.version.epoch is 'Epoch of xid: rows of older epochs came with a restore.';
comment on column pgstate.version.xid is 'The transaction that made it visible.';
comment on column pgstate.version.seq is 'Order within the feed.';
comment on column pgstate.version.created is 'The key did not exist just before.';
comment on column pgstate.version.expires_at is 'When this version was to expire, so that a past read knows what had expired then.';

-- tables/claim.sql
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
  constraint claim_pkey primary key (key)
) with (fillfactor = 50);
comment on table pgstate.claim is 'Exclusive ownership of entries until the lease ends. A released claim keeps its row, with lease_until -infinity.';
comment on column pgstate.claim.token is 'Fencing token: rises with each claim.';
comment on column pgstate.claim.attempts is 'How often the entry was claimed since it was created.';

-- tables/lane.sql
-- A write happens once: what each lane of a client did last.
create table pgstate.lane (
  lane uuid not null,
  agent_id int not null,
  turn bigint not null,
  outcome jsonb,
  at timestamptz not null default pg_catalog.now(),
  channels text[],
  constraint lane_pkey primary key (lane)
) with (fillfactor = 25);
comment on table pgstate.lane is 'The last statement of each lane of a client (one statement in flight) and its outcome: asked again with the same turn, the outcome is returned and nothing is done twice.';
comment on column pgstate.lane.channels is 'Whom to wake after the last statement, if they are few: write_and_wake() does so after its commit.';

-- tables/op.sql
-- A write happens once: what was done under callers' own idempotency keys.
create table pgstate.op (
  agent_id int not null,
  op_id text collate "C" not null,
  request_hash bytea not null,
  outcome jsonb,
  at timestamptz not null default pg_catalog.now(),
  constraint op_pkey primary key (agent_id, op_id),
  constraint op_id_length check (pg_catalog.octet_length(op_id) between 1 and 256)
);
create index op_at_idx on pgstate.op (at);
comment on table pgstate.op is 'Outcomes by the caller''s own idempotency key: the same op_id with the same request returns the first outcome.';

-- tables/watcher.sql
-- Who wants to be woken. Unlogged: losing it costs delay only, watchers poll and register again.
create unlogged table pgstate.watcher (
  channel text collate "C" not null,
  login text not null,
  agent_ids int[] not null,
  ranges pgstate.keymultirange not null,
  expires_at timestamptz not null,
  constraint watcher_pkey primary key (channel)
);
comment on table pgstate.watcher is 'Channels to notify, one for each client process, and the key ranges that it watches.';

-- tables/as_installer.sql
-- Back to whoever installs.
reset role;
