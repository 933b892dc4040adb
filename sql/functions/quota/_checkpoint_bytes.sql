-- What a quota counts of a root; of a value that lies apart it asks for the size alone. In SQL, so that it is inlined.
create function pgstate._checkpoint_bytes(p_root pgstate.checkpoint) returns bigint
language sql stable
as $$
  select (pg_column_size(p_root.names) + pg_column_size(p_root.types) + pg_column_size(p_root.data)
          + coalesce(pg_column_size(p_root.versions), 0) + coalesce(pg_column_size(p_root.header), 0)
          + coalesce(pg_column_size(p_root.metadata), 0))::bigint
$$;
comment on function pgstate._checkpoint_bytes(pgstate.checkpoint) is 'Internal: the size of the root of a checkpoint.';
