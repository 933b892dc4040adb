create type pgstate.effective_row as (
  "right" text, subtree text, deny boolean, state text, through text, until timestamptz, granted_by text, granted_at timestamptz
);
comment on type pgstate.effective_row is 'A grant or denial as it holds for one agent: {agent} is its name; state is in force, denied, partly denied, ended, or suspended with the agent; through: the group that has it, null for its own.';
