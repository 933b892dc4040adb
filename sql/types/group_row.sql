create type pgstate.group_row as (name text, members text[], created_at timestamptz);
comment on type pgstate.group_row is 'A group of agents.';
