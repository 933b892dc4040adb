-- A write happens once: what was done under callers' own idempotency keys.
create table pgstate.op (
  agent_id int not null,
  op_id text collate "C" not null,
  request_hash bytea not null,
  outcome jsonb,
  at timestamptz not null default pg_catalog.now(),
  constraint op_pkey primary key (agent_id, op_id),
  constraint op_id_length check (pg_catalog.octet_length(op_id) between 1 and 256)
);
create index op_at_idx on pgstate.op (at);
comment on table pgstate.op is 'Outcomes by the caller''s own idempotency key: the same op_id with the same request returns the first outcome.';
comment on column pgstate.op.agent_id is 'Who asked.';
comment on column pgstate.op.op_id is 'The caller''s idempotency key.';
comment on column pgstate.op.request_hash is 'Hash of the request: another one under this op_id is refused.';
comment on column pgstate.op.outcome is 'The first outcome.';
comment on column pgstate.op.at is 'When that was; kept for a week.';
