-- From 0005.
set local role pgstate_owner;

-- threads
alter type pgstate._stored add attribute version bigint, add attribute value jsonb, add attribute at timestamptz;
comment on type pgstate._stored is 'Internal: what became of a checkpoint that was to be stored, and of its entry, if that was locked with it.';

-- Suspended agents.
alter table pgstate.agent add column suspended_at timestamptz, add column suspended_by text;
comment on column pgstate.agent.suspended_at is 'Since when it is nobody; null if it is not suspended.';
comment on column pgstate.agent.suspended_by is 'The agent that suspended it.';
alter type pgstate.agent_row add attribute suspended_at timestamptz;
create type pgstate.open_transaction as (pid int, login text, prepared text);
comment on type pgstate.open_transaction is 'A transaction that has written and is not over: of a session (pid), or prepared under a name.';
create type pgstate.quarantined as (
  action text, key text, status text, version bigint, from_version bigint, to_version bigint, old_value jsonb, new_value jsonb, detail jsonb
);
comment on type pgstate.quarantined is 'What quarantine() does or found: suspend, release, put, delete, distrust; left for whoever asks: derived, thread, run, open.';
comment on column pgstate.version.meta is 'ttl: the time to live, of an entry that touch() gave more time; sources: the versions that its value derives from; endorsed_by: who raised its trust, with the version endorsed, its writer, and from what trust; quarantined_by: who lowered it, likewise.';
comment on type pgstate.effective_row is 'A grant or denial as it holds for one agent: {agent} is its name; state is in force, denied, partly denied, ended, or suspended with the agent; through: the group that has it, null for its own.';

-- Keys of encryption are rotated (rekey): chunks say what takes their place.
alter table pgstate.chunk add column moved_to bytea;
comment on column pgstate.chunk.moved_to is 'The hash of the same, sealed under another key, which is to take its place.';
create type pgstate.sealed_row as (place text, field int, key text, type text, data bytea, more boolean);
comment on type pgstate.sealed_row is 'A sealed payload: where it is, the key of its thread (null for runs, and threads that were deleted), the form, the bytes; are there more in these blocks? See sealed_data().';
create type pgstate.sealed_part as (part text, blocks bigint);
comment on type pgstate.sealed_part is 'A table with sealed payloads, and how many blocks it has. See sealed_parts().';
create type pgstate.sealed_count as (id bytea, payloads bigint);
comment on type pgstate.sealed_count is 'How many payloads are sealed under a key, by its id. See sealed_keys().';
