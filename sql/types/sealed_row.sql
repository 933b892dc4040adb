create type pgstate.sealed_row as (place text, field int, key text, type text, data bytea, more boolean, name text);
comment on type pgstate.sealed_row is 'A sealed payload: where it is, the key of its thread or run (null when that was deleted), the form, the bytes; are there more in these blocks? name: what it is there, for people. See sealed_data().';
