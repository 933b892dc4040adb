create type pgstate.sealed_row as (place text, field int, key text, type text, data bytea, more boolean);
comment on type pgstate.sealed_row is 'A sealed payload: where it is, the key of its thread (null for runs, and threads that were deleted), the form, the bytes; are there more in these blocks? See sealed_data().';
