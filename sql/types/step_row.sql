create type pgstate.step_row as (
  step text, name text, kind text, state text, "position" int, result jsonb, error text, attempts int, started_at timestamptz,
  finished_at timestamptz, due_at timestamptz, token bigint
);
comment on type pgstate.step_row is 'A step of a run: state is pending, done or failed.';
