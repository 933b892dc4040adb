-- Back to 0003.
set local role pgstate_owner;

-- Stores.
comment on column pgstate.version.meta is 'Reserved.';
