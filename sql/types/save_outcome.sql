create type pgstate.save_outcome as (ord int, status text, id text, version bigint, head text, missing bytea[], code text, message text, watched boolean);
comment on type pgstate.save_outcome is 'Outcome of one save of several: as saved, or why it was refused.';
