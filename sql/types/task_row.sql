create type pgstate.task_row as (
  key text, state text, priority int, holder text, lease_until timestamptz, lease_left interval, attempts int, error text,
  next_try timestamptz, version bigint, created_at timestamptz, updated_at timestamptz
);
comment on type pgstate.task_row is 'An entry as a piece of work: state is waiting, claimed (holder, lease_left), failed (given up: error) or finished; next_try is when one that waits may be claimed, null for at once.';
