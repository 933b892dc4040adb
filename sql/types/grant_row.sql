create type pgstate.grant_row as (agent text, subtree text, "right" text, granted_by text, granted_at timestamptz, deny boolean, until timestamptz);
comment on type pgstate.grant_row is 'A right of an agent on a key or subtree.';
