create type pgstate.run_full as (
  status text, key text, token bigint, lease_until timestamptz, retry_in interval, attempts int, created boolean, state text,
  name text, code text, seed uuid, at timestamptz, begun_at timestamptz, deadline timestamptz, cancelled boolean, input_type text, input bytea,
  result_type text, result bytea, steps text[], positions int[], mains boolean[], kinds text[], states text[], types text[], data bytea[],
  due_ats timestamptz[]
);
comment on type pgstate.run_full is 'A run and its finished steps, for who goes on with it: token when status is ok, retry_in when it is held; at is the server''s time. state is open, done, failed or cancelled.';
