create type pgstate.access_reason as (
  allowed boolean, decides boolean, subtree text, deny boolean, through text, until timestamptz, granted_by text, granted_at timestamptz
);
comment on type pgstate.access_reason is 'Why an agent has a right on a key or not: a grant or denial that covers it, and whether it decides.';
