create type pgstate.channel_history as (
  seed_channels text[], seed_types text[], seed_data bytea[], chunk_hashes bytea[], chunk_types text[], chunk_data bytea[],
  write_channels text[], write_task_ids text[], write_types text[], write_data bytea[]
);
comment on type pgstate.channel_history is 'What channels are made of at a checkpoint: of each the value that its nearest ancestor with one has, and what was written to it since, the oldest first.';
