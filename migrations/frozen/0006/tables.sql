-- From 0005.
set local role pgstate_owner;

-- Keys of encryption are rotated (rekey): chunks say what takes their place.
alter table pgstate.chunk add column moved_to bytea;
comment on column pgstate.chunk.moved_to is 'The hash of the same, sealed under another key, which is to take its place.';
create type pgstate.sealed_row as (place text, field int, key text, type text, data bytea, more boolean);
comment on type pgstate.sealed_row is 'A sealed payload: where it is, the key of its thread (null for runs, and threads that were deleted), the form, the bytes; are there more in these blocks? See sealed_data().';
create type pgstate.sealed_part as (part text, blocks bigint);
comment on type pgstate.sealed_part is 'A table with sealed payloads, and how many blocks it has. See sealed_parts().';
create type pgstate.sealed_count as (id bytea, payloads bigint);
comment on type pgstate.sealed_count is 'How many payloads are sealed under a key, by its id. See sealed_keys().';
