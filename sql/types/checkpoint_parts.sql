create type pgstate.checkpoint_parts as (
  chunk_hashes bytea[], chunk_types text[], chunk_data bytea[], write_checkpoints text[], write_task_ids text[],
  write_task_paths text[], write_idxs int[], write_channels text[], write_types text[], write_data bytea[]
);
comment on type pgstate.checkpoint_parts is 'What several checkpoints reach, each chunk once, and the writes that came after each, in their order.';
