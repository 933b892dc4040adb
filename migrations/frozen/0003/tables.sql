-- From 0002.
set local role pgstate_owner;
alter type pgstate._actor add attribute horizon xid8;
comment on type pgstate._actor is 'Internal: the acting agent with its cached rights; in a write also whether its lane is ready, or what the lane kept; horizon for reads of the feed.';

-- types/_feed_row.sql
create type pgstate._feed_row as (
  key text, version bigint, seq bigint, xid xid8, op text, created boolean, value jsonb, reducer text, writer text, via text,
  at timestamptz, expires_at timestamptz
);
comment on type pgstate._feed_row is 'Internal: a change on a page of the feed; value null when it is read later.';

-- types/_look.sql
create type pgstate._look as (agent text, reads pgstate.keymultirange, epoch int, head text, base pg_snapshot, upto pg_snapshot, found bigint);
comment on type pgstate._look is 'Internal: a page of the feed behind which little has happened: who reads, what a cursor begins with, from where to where, and how many changes there are for all agents together.';

-- A restore in place is told, and what retention removed before a restore.
alter table pgstate.install
  add column horizon_epoch int,
  add column table_oid oid;
update pgstate.install i set table_oid = i.tableoid, horizon_epoch = case when i.horizon is not null then i.epoch end;
comment on column pgstate.install.horizon_epoch is 'Epoch of horizon.';
comment on column pgstate.install.table_oid is 'What the oid of this table was: in one that was dropped and restored in place it is another.';
-- Digests of reducers that are what they were go by the name of the language instead of its oid.
update pgstate.reducer r
   set digest = sha256(convert_to(row(l.lanname, p.provolatile, p.prosecdef, p.proisstrict, p.prorettype, p.proconfig, p.probin,
                                      coalesce(pg_get_function_sqlbody(p.oid), p.prosrc))::text, 'UTF8'))
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
 where n.nspname = r.function_schema and p.proname = r.function_name and p.proargtypes = '3802 3802'::oidvector
   and r.digest = sha256(convert_to(row(p.prolang, p.provolatile, p.prosecdef, p.proisstrict, p.prorettype, p.proconfig, p.probin,
                                        coalesce(pg_get_function_sqlbody(p.oid), p.prosrc))::text, 'UTF8'));

-- types/_purged.sql
create type pgstate._purged as (removed bigint, epoch int, xid xid8);
comment on type pgstate._purged is 'Internal: a purge: how many versions went, null when it must wait; epoch and xid: the horizon that follows from it.';

-- Tombstones that nothing keeps are purged, and new keys start above them (tables/entry.sql)
create sequence pgstate.version_floor cache 1;
comment on sequence pgstate.version_floor is 'The highest version of a tombstone that was purged: new keys start above it.';

-- tables/thinning.sql
-- How points of the feed become fewer with their age: at the density of one a second they would be 31 million a year.
create table pgstate.thinning (
  older interval not null,
  every interval not null,
  upto timestamptz,
  constraint thinning_pkey primary key (older),
  constraint thinning_every_range check (every between interval '1 second' and interval '1 day')
);
alter table pgstate.thinning enable row level security;
comment on table pgstate.thinning is 'Of the points of the feed that are older than this, the first of each interval stays. An administrator may change it.';
comment on column pgstate.thinning.upto is 'How far maintain() has come; null for nowhere yet.';
comment on column pgstate.thinning.older is 'The age.';
comment on column pgstate.thinning.every is 'The interval.';

-- Search

-- types/_search_part.sql
create type pgstate._search_part as (how text, rule_id int, config text, dir text, low text, high text, ruled boolean);
comment on type pgstate._search_part is 'Internal: a range of keys to be searched, low to high without high, and how: scope (by the words that are indexed for the directory dir), scan (the indexed words of each key), or fly (the values themselves; ruled: rules for search say how).';

-- types/embedded.sql
create type pgstate.embedded as (key text, status text);
comment on type pgstate.embedded is 'What set_vectors() did for a key: ok, stale (the text has changed, or they are there already), or denied.';

-- types/found.sql
create type pgstate.found as (
  key text, value jsonb, version bigint, kind text, writer text, via text, created_at timestamptz, updated_at timestamptz,
  expires_at timestamptz, score float8, text_rank real, distance float8, after text
);
comment on type pgstate.found is 'One row of search(): an entry; score: what the rows are ordered by, highest first (null without a query); text_rank by the words, distance of the nearest vector, null where that half did not find it; after: where the next page begins.';

-- types/search_row.sql
create type pgstate.search_row as (
  subtree text, fields text[], config text, vectors text, vector_fields text[], ready boolean, set_by text, set_at timestamptz
);
comment on type pgstate.search_row is 'What is indexed for search() on a key or subtree: fields and text search configuration, name of the vector index and what is embedded for it; ready: what was there before is indexed too.';

-- types/unembedded_row.sql
create type pgstate.unembedded_row as (key text, version bigint, digest text, vectors text, model text, dims int, texts text[]);
comment on type pgstate.unembedded_row is 'An entry that waits for its vectors: one for each of texts, by that model. set_vectors() takes them with the digest, which is of these texts.';

-- types/vectors_row.sql
create type pgstate.vectors_row as (
  name text, model text, dims int, distance text, method text, type text, created_by text, created_at timestamptz
);
comment on type pgstate.vectors_row is 'A vector index: the model whose vectors it holds, their dimensions, the distance (cosine, l2, inner_product), method (hnsw, ivfflat, exact) and type (vector, halfvec) of the index.';

-- tables/vector_index.sql
create sequence pgstate.vector_index_id_seq as int;

create table pgstate.vector_index (
  id int not null default pg_catalog.nextval('pgstate.vector_index_id_seq'),
  name text collate "C" not null,
  model text not null,
  dims int not null,
  distance text not null,
  method text not null,
  type text not null,
  options jsonb not null,
  created_by text not null,
  created_at timestamptz not null default pg_catalog.now(),
  constraint vector_index_pkey primary key (name),
  constraint vector_index_id_key unique (id),
  constraint vector_index_name_form check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint vector_index_dims_range check (dims between 1 and 16000),
  constraint vector_index_distance_known check (distance in ('cosine', 'l2', 'inner_product')),
  constraint vector_index_method_known check (method in ('hnsw', 'ivfflat', 'exact')),
  constraint vector_index_type_known check (type in ('vector', 'halfvec'))
);
alter sequence pgstate.vector_index_id_seq owned by pgstate.vector_index.id;
alter table pgstate.vector_index enable row level security;
comment on table pgstate.vector_index is 'Vector indexes: each holds the vectors of one model.';
comment on column pgstate.vector_index.id is 'Number, which the vectors name.';
comment on column pgstate.vector_index.name is 'What search() and set_search() call it.';
comment on column pgstate.vector_index.dims is 'How many numbers a vector has.';
comment on column pgstate.vector_index.distance is 'cosine, l2 or inner_product.';
comment on column pgstate.vector_index.method is 'hnsw, ivfflat or exact.';
comment on column pgstate.vector_index.type is 'vector or halfvec.';
comment on column pgstate.vector_index.options is 'Options of the index.';
comment on column pgstate.vector_index.created_by is 'The agent that made it.';
comment on column pgstate.vector_index.created_at is 'When it was made.';
comment on sequence pgstate.vector_index_id_seq is 'Numbers of vector_index.';
comment on column pgstate.vector_index.model is 'Whose vectors these are: those of another model are refused.';

-- tables/search_rule.sql
-- What is indexed for search. A rule that changes becomes another (its id), so that no document of the old one passes for
-- one of the new.
create sequence pgstate.search_rule_id_seq as int;

create table pgstate.search_rule (
  id int not null default pg_catalog.nextval('pgstate.search_rule_id_seq'),
  subtree text collate "C" not null,
  -- as in policy
  nearness int not null,
  ranges pgstate.keymultirange not null,
  salt text not null default pg_catalog.gen_random_uuid()::text,
  config text not null,
  fields text[] not null,
  vectors text collate "C",
  vector_fields text[],
  set_by text not null,
  set_at timestamptz not null default pg_catalog.now(),
  constraint search_rule_pkey primary key (subtree),
  constraint search_rule_id_key unique (id),
  constraint search_rule_vectors_fkey foreign key (vectors) references pgstate.vector_index (name)
);
alter sequence pgstate.search_rule_id_seq owned by pgstate.search_rule.id;
-- as in reach
alter table pgstate.search_rule alter column ranges set storage external;
alter table pgstate.search_rule enable row level security;
comment on table pgstate.search_rule is 'What search() has an index for: keys and subtrees, the nearest rule decides for a key.';
comment on column pgstate.search_rule.ranges is 'The keys of subtree.';
comment on column pgstate.search_rule.id is 'Number, which search_doc names.';
comment on column pgstate.search_rule.subtree is 'The key or subtree that it holds for.';
comment on column pgstate.search_rule.nearness is 'How near it is, as in policy. The highest decides.';
comment on column pgstate.search_rule.set_by is 'The agent that set it.';
comment on column pgstate.search_rule.set_at is 'When it was set.';
comment on sequence pgstate.search_rule_id_seq is 'Numbers of search_rule.';
comment on column pgstate.search_rule.salt is 'Known to nobody: see _mark_of().';
comment on column pgstate.search_rule.config is 'Text search configuration, by name: an oid would not survive a dump.';
comment on column pgstate.search_rule.fields is 'Paths into the value whose text is searched; $ is all of it.';
comment on column pgstate.search_rule.vectors is 'The vector index that entries are embedded for.';
comment on column pgstate.search_rule.vector_fields is 'Paths into the value, each match of which gets a vector.';

-- tables/search_build.sql
-- Where the index for search is not what the rules say: until it is built there, search reads the values.
create table pgstate.search_build (
  subtree text collate "C" not null,
  after text collate "C" not null default '',
  barrier xid8,
  asked_at timestamptz not null default pg_catalog.now(),
  constraint search_build_pkey primary key (subtree)
);
alter table pgstate.search_build enable row level security;
comment on table pgstate.search_build is 'Keys and subtrees whose rule for search has changed, and the key up to which they have been indexed since.';
comment on column pgstate.search_build.subtree is 'The key or subtree.';
comment on column pgstate.search_build.after is 'Keys up to this one are indexed.';
comment on column pgstate.search_build.asked_at is 'When its rule changed.';
comment on column pgstate.search_build.barrier is 'Transactions below this id may have written by the rules of before: building begins when they have ended.';

-- tables/search_doc.sql
-- The index for search: a row for each live key under a rule, written with the key, in the same transaction.
--
-- One index for all would tell an agent by the time and the buffers that a search takes which words occur in hidden entries. So
-- a word is indexed once for each directory above the key, marked with it, and a search asks for the words of directories
-- that the agent may read as a whole: what it touches lies within its grants, and a small subtree is found beside a large one.
create table pgstate.search_doc (
  key text collate "C" not null,
  rule_id int not null,
  version bigint not null,
  words tsvector not null,
  scoped tsvector not null,
  digest bytea,
  constraint search_doc_pkey primary key (key)
);
create index search_doc_scoped_idx on pgstate.search_doc using gin (scoped);
alter table pgstate.search_doc enable row level security;
comment on table pgstate.search_doc is 'The words of entries under a rule for search.';
comment on column pgstate.search_doc.key is 'The key.';
comment on column pgstate.search_doc.rule_id is 'The rule that it was indexed by.';
comment on column pgstate.search_doc.words is 'The words.';
comment on column pgstate.search_doc.version is 'The version of the entry that this is of: another one is not found by it.';
comment on column pgstate.search_doc.scoped is 'The words, each marked with each directory above the key, up to the rule''s.';
comment on column pgstate.search_doc.digest is 'Of what is to be embedded; vectors with another one are not used.';

-- tables/embedding.sql
-- Arrays, not pgvector's type: the schema installs, dumps and restores without pgvector, whose indexes are on a cast.
create table pgstate.embedding (
  key text collate "C" not null,
  index_id int not null,
  chunk int not null,
  digest bytea not null,
  vector real[] not null,
  constraint embedding_pkey primary key (key, index_id, chunk),
  constraint embedding_index_fkey foreign key (index_id) references pgstate.vector_index (id)
);
-- floats do not compress
alter table pgstate.embedding alter column vector set storage external;
alter table pgstate.embedding enable row level security;
comment on table pgstate.embedding is 'Vectors of entries, as the application computed them.';
comment on column pgstate.embedding.key is 'The key.';
comment on column pgstate.embedding.index_id is 'The vector index.';
comment on column pgstate.embedding.vector is 'The vector.';
comment on column pgstate.embedding.chunk is 'Which of the entry''s texts, from 0.';
comment on column pgstate.embedding.digest is 'Of the texts that were embedded.';

-- tables/embedding_wanted.sql
-- Apart from search_doc, where a change of an indexed column would write all its words anew.
create table pgstate.embedding_wanted (
  key text collate "C" not null,
  digest bytea not null,
  constraint embedding_wanted_pkey primary key (key)
);
alter table pgstate.embedding_wanted enable row level security;
comment on table pgstate.embedding_wanted is 'Entries whose vectors have not come yet.';
comment on column pgstate.embedding_wanted.key is 'The key.';
comment on column pgstate.embedding_wanted.digest is 'Of the texts to be embedded.';
-- What an older client needs to know.
alter type pgstate.about add attribute serves text;
comment on column pgstate.about.serves is 'Clients of this revision and later ones go on working.';

-- Columns and sequences that had no comment.
comment on column pgstate.former_agent.name is 'The name, taken again only with reuse.';
comment on column pgstate.former_agent.dropped_at is 'When it was dropped.';
comment on column pgstate.install.singleton is 'Always true: there is one row.';
comment on column pgstate.install.installed_at is 'When pgstate was installed here.';
comment on column pgstate.agent.id is 'Number, never given again.';
comment on column pgstate.agent.name is 'Unique; one segment of a key.';
comment on column pgstate.agent.created_at is 'When it was registered.';
comment on sequence pgstate.agent_id_seq is 'Numbers of agents.';
comment on column pgstate.login.login is 'The database role.';
comment on column pgstate.login.agent_id is 'The agent whose login it is; null for a gateway.';
comment on column pgstate.login.gateway is 'Acts for the agents delegated to it.';
comment on column pgstate.login.created_at is 'When it was registered.';
comment on column pgstate.login.agent_name is 'Cache: the name of agent_id.';
comment on column pgstate.login.writes is 'Cache: as in reach.';
comment on column pgstate.login.touches is 'Cache: as in reach.';
comment on column pgstate.delegation.login is 'The gateway.';
comment on column pgstate.delegation.agent_id is 'The agent that it may act for.';
comment on column pgstate.delegation.created_at is 'When it was delegated.';
comment on column pgstate.access_grant.agent_id is 'Who may.';
comment on column pgstate.access_grant.subtree is 'A key, or a/b/**; {agent} stands for the agent''s name.';
comment on column pgstate.access_grant."right" is 'read, write or admin.';
comment on column pgstate.access_grant.granted_by is 'The agent that granted it.';
comment on column pgstate.access_grant.granted_at is 'When it was granted.';
comment on column pgstate.reach.agent_id is 'Whose reach it is.';
comment on column pgstate.reach.reads is 'Ranges of keys that it may read.';
comment on column pgstate.reach.writes is 'Ranges of keys that it may write.';
comment on column pgstate.reach.admins is 'Ranges of keys inside which it may grant and set policies.';
comment on column pgstate.watcher.channel is 'The channel of NOTIFY, which cannot be guessed.';
comment on column pgstate.watcher.login is 'The login that listens.';
comment on column pgstate.watcher.agent_ids is 'The agents that it watches for.';
comment on column pgstate.watcher.ranges is 'The ranges of keys that it watches.';
comment on column pgstate.watcher.expires_at is 'When it is forgotten unless registered again.';
comment on column pgstate.lane.lane is 'Chosen by the client at random.';
comment on column pgstate.lane.agent_id is 'Who writes through it.';
comment on column pgstate.lane.turn is 'Number of the last statement; rises.';
comment on column pgstate.lane.outcome is 'Outcome of the last statement.';
comment on column pgstate.lane.at is 'When that was.';
comment on column pgstate.op.agent_id is 'Who asked.';
comment on column pgstate.op.op_id is 'The caller''s idempotency key.';
comment on column pgstate.op.request_hash is 'Hash of the request: another one under this op_id is refused.';
comment on column pgstate.op.outcome is 'The first outcome.';
comment on column pgstate.op.at is 'When that was; kept for a week.';
comment on column pgstate.policy.subtree is 'The key or subtree that it holds for.';
comment on column pgstate.policy.nearness is 'How near it is: 2 for each segment, 1 more for a policy on the key itself. The highest decides.';
comment on column pgstate.policy.reducer is 'What merge() applies unless told otherwise.';
comment on column pgstate.policy.keep_everything is 'History is not removed, whatever a subtree above says.';
comment on column pgstate.policy.value_limit is 'Largest value in bytes.';
comment on column pgstate.policy.set_by is 'The agent that set it.';
comment on column pgstate.policy.set_at is 'When it was set.';
comment on column pgstate.reducer.name is 'What merge() and policies call it.';
comment on column pgstate.reducer.function_schema is 'Schema of the function.';
comment on column pgstate.reducer.function_name is 'Name of the function, which takes (jsonb, jsonb).';
comment on column pgstate.reducer.registered_by is 'The agent that registered it.';
comment on column pgstate.reducer.registered_at is 'When it was registered.';
comment on column pgstate.mark.at is 'When it was taken.';
comment on column pgstate.mark.epoch is 'Epoch of ended_below.';
comment on column pgstate.sweep.delay is 'The age, or 0.';
comment on column pgstate.sweep.epoch is 'Epoch of xid.';
comment on column pgstate.sweep.xid is 'Retention has gone through the feed up to this transaction.';
comment on column pgstate.sweep.seq is 'And to this seq within it.';
comment on column pgstate.review.subtree is 'The key or subtree.';
comment on column pgstate.review.after is 'Keys up to this one are done.';
comment on column pgstate.review.asked_at is 'When its policy changed.';
comment on column pgstate.entry.key is 'The key: segments joined by /.';
comment on column pgstate.entry.kind is 'value, thread or run.';
comment on column pgstate.entry.value is 'The current value, or that of full_version; null for a tombstone.';
comment on column pgstate.entry.created_at is 'When the key came into being, last.';
comment on column pgstate.entry.updated_at is 'When the newest version was written.';
comment on column pgstate.entry.expires_at is 'When the entry becomes invisible; null for never.';
comment on column pgstate.entry.priority is 'Higher ones are claimed first.';
comment on column pgstate.entry.not_before is 'Not claimable before this time.';
comment on column pgstate.entry.tail_bytes is 'Size of those operands.';
comment on column pgstate.entry.full_bytes is 'Size of value, where it grows.';
comment on column pgstate.entry.full_type is 'JSON type of value, where it grows.';
comment on column pgstate.version.key is 'The key.';
comment on column pgstate.version.version is 'Number of the version; dense for each key.';
comment on column pgstate.version.op is 'put, merge, delete, complete or expire.';
comment on column pgstate.version.value is 'The value, or the operand of reducer; null where the key was removed.';
comment on column pgstate.version.writer is 'The agent that wrote it; pgstate for an expiry.';
comment on column pgstate.version.via is 'The database login that the writer came through.';
comment on column pgstate.version.at is 'When it was written.';
comment on column pgstate.version.meta is 'Reserved.';
comment on sequence pgstate.version_seq is 'Order within the feed.';
comment on column pgstate.claim.key is 'The claimed entry.';
comment on column pgstate.claim.holder is 'Name of the agent that holds it, or did last.';
comment on column pgstate.claim.holder_id is 'Number of that agent.';
comment on column pgstate.claim.lease_until is 'When the claim ends unless it is renewed.';
comment on column pgstate.claim.claimed_at is 'When it was claimed.';
comment on sequence pgstate.claim_token_seq is 'Fencing tokens.';

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
comment on column pgstate.claim_log.key is 'The claimed entry.';
comment on column pgstate.claim_log.at is 'When it was ended.';
comment on column pgstate.claim_log.lease_until is 'When it would have ended.';
comment on column pgstate.claim_log.attempts is 'How often the entry had been claimed.';
comment on column pgstate.claim_log.via is 'The database login that released_by came through.';
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
comment on column pgstate.policy.backoff_limit is 'The longest such time.';
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
comment on table pgstate.alembic_version is 'The revision of this schema: Alembic''s table, apart from that of the application.';
comment on column pgstate.alembic_version.version_num is 'The revision.';
