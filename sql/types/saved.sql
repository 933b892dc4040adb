create type pgstate.saved as (status text, id text, version bigint, head text, missing bytea[], watched boolean);
comment on type pgstate.saved is 'Outcome of a save: status ok with the id of the checkpoint and the version of the thread''s entry, conflict (head is the latest checkpoint), missing, incomplete (missing: hashes of chunks to be sent along), held or stale.';
