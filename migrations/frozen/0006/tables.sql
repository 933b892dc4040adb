-- From 0005.
set local role pgstate_owner;

-- threads
alter type pgstate._stored add attribute version bigint, add attribute value jsonb, add attribute at timestamptz;
comment on type pgstate._stored is 'Internal: what became of a checkpoint that was to be stored, and of its entry, if that was locked with it.';
