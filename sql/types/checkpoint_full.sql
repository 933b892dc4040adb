create type pgstate.checkpoint_full as (
  status text, key text, ns text, id text, parent text, metadata jsonb, run_id text, header bytea, whole boolean,
  names text[], versions text[], types text[], data bytea[], size bigint, created_at timestamptz, writer text, via text,
  chunk_hashes bytea[], chunk_types text[], chunk_data bytea[],
  write_task_ids text[], write_task_paths text[], write_idxs int[], write_channels text[], write_types text[], write_data bytea[]
);
comment on type pgstate.checkpoint_full is 'A checkpoint with the chunks that it reaches and the writes that came after it, ordered by path, task and idx.';
