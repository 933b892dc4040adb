create type pgstate._grant_of as (agent text, subtree text, "right" text, deny boolean, until timestamptz, through text, granted_by text, granted_at timestamptz);
comment on type pgstate._grant_of is 'Internal: a grant of an agent, or of a group that it is in.';
