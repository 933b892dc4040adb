create type pgstate.thread_row as (
  key text, checkpoint text, ns text, checkpoints bigint, bytes bigint, version bigint, writer text, via text,
  created_at timestamptz, updated_at timestamptz, expires_at timestamptz, forked_from text, forked_id text
);
comment on type pgstate.thread_row is 'A thread: what was saved last, how many checkpoints there are, bytes that were sent for them.';
