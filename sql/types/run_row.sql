create type pgstate.run_row as (
  key text, name text, state text, step text, steps bigint, holder text, lease_until timestamptz, attempts int, priority int,
  ready_at timestamptz, deadline timestamptz, error text, result jsonb, input jsonb, code text, parent text, forked_from text, forked_step text,
  version bigint, created_at timestamptz, updated_at timestamptz, ended_at timestamptz
);
comment on type pgstate.run_row is 'A run: state is waiting, running, done, failed or cancelled.';
