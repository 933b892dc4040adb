create type pgstate.checkpoint_row as (
  status text, key text, ns text, id text, parent text, metadata jsonb, run_id text, header bytea, whole boolean,
  names text[], versions text[], types text[], data bytea[], size bigint, created_at timestamptz, writer text, via text
);
comment on type pgstate.checkpoint_row is 'A checkpoint without its chunks, as in the table; status is ok, or missing.';
